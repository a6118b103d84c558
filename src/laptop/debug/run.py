# Runs in the session: the program under its debugger, as a child, and sees to its end when the laptop
# wants it or goes away.
import ctypes
import os
import signal
import subprocess
import sys
import time

PORT = int(sys.argv[1])
GRACE = 3  # seconds between asking the program to end and ending it

os.remove(__file__)
os.rmdir(os.path.dirname(__file__))

child = None
ended = []
interrupts = []


def tell(number):
    try:
        if child is not None:
            child.send_signal(number)
    except OSError:
        pass


def on_interrupt(number, frame):
    # From a terminal the program has it as well; a program that will not go is ended by the second.
    interrupts.append(time.time())
    if len(interrupts) > 1:
        tell(signal.SIGTERM if len(interrupts) == 2 else signal.SIGKILL)
    elif not os.isatty(0):
        tell(signal.SIGINT)


def on_end(number, frame):
    ended.append(number)
    tell(signal.SIGINT)
    signal.alarm(GRACE)


signal.signal(signal.SIGINT, on_interrupt)
signal.signal(signal.SIGTERM, on_end)
signal.signal(signal.SIGHUP, on_end)
signal.signal(signal.SIGALRM, lambda number, frame: tell(signal.SIGKILL))

parent = os.getppid()
try:
    # PR_SET_PDEATHSIG: sshd ends with its connection, and without a terminal tells nobody.
    ctypes.CDLL(None).prctl(1, signal.SIGTERM)
except Exception as error:
    sys.stderr.write("qdebug: the program will outlive a lost connection (%s)\n" % error)
if os.getppid() != parent:
    sys.exit(143)

command = [sys.executable] + ASK["options"]
if sys.version_info >= (3, 11):
    # Debuggers cannot see into frozen modules, and say so at length.
    command.append("-Xfrozen_modules=off")
command += [word.replace("{port}", str(PORT)) for word in ASK["under"]]
child = subprocess.Popen(command + ASK["target"])
if ended:
    # It came before there was anybody to tell.
    on_end(ended[0], None)
elif interrupts:
    tell(signal.SIGINT)


def listens():
    try:
        with open("/proc/net/tcp") as table:
            rows = [line.split() for line in table]
    except OSError:
        return True
    return any(row[1] == "0100007F:%04X" % PORT and row[3] == "0A" for row in rows[1:])


said = ASK["said"] is None
while child.poll() is None:
    if not said and listens():
        said = True
        sys.stderr.write(ASK["said"] + "\n")
        sys.stderr.flush()
    time.sleep(0.05 if not said else 0.2)

status = child.returncode
sys.exit(status if status >= 0 else 128 - status)
