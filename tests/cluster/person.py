"""A person at a terminal: `person.py ANSWER,ANSWER COMMAND...` answers each password prompt with the
next of these, shows what the terminal showed, and ends as the command does."""

import os
import pty
import select
import sys
import time

answers, command = sys.argv[1].split(","), sys.argv[2:]
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(command[0], command)
unanswered, asked, deadline = b"", 0, time.monotonic() + 90
while time.monotonic() < deadline:
    if not select.select([terminal], [], [], 1)[0]:
        continue
    try:
        shown = os.read(terminal, 4096)
    except OSError:
        break
    sys.stdout.buffer.write(shown)
    sys.stdout.buffer.flush()
    unanswered += shown
    if unanswered.rstrip().endswith(b"assword:"):
        asked += 1
        answer = answers.pop(0) if answers else "nothing"
        os.write(terminal, answer.encode() + b"\n")
        unanswered = b""
print(f"\nasked {asked} times")
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
