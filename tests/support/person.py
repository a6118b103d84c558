"""A person at a terminal: starts argv on one of its own, waits for each word and types what belongs
to it, prints all that came and exits as argv did.

    person.py STEPS ARGV...       STEPS: JSON, [[WORD, TEXT], ...]
"""
import json, os, pty, select, signal, sys, time
steps, argv = json.loads(sys.argv[1]), sys.argv[2:]
pid, terminal = pty.fork()
if pid == 0:
    os.execvp(argv[0], argv)
seen, late = b"", time.time() + 110
def ended(signum, frame):
    os.kill(pid, signal.SIGKILL)
signal.signal(signal.SIGTERM, ended)
while True:
    ready, _, _ = select.select([terminal], [], [], 1)
    if time.time() > late:
        os.kill(pid, signal.SIGKILL)
        sys.stderr.write("too late\n")
    if ready:
        try:
            some = os.read(terminal, 4096)
        except OSError:
            break
        if not some:
            break
        sys.stdout.buffer.write(some)
        sys.stdout.flush()
        seen += some
    while steps and steps[0][0].encode() in seen:
        seen = seen.split(steps[0][0].encode(), 1)[1]
        time.sleep(0.2)
        os.write(terminal, steps[0][1].encode())
        steps.pop(0)
status = os.waitpid(pid, 0)[1]
sys.exit(os.waitstatus_to_exitcode(status) if os.WIFEXITED(status) else 99)
