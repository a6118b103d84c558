# Runs in the session: the program under its debugger, as a child, and sees to its end, and to that of
# all below it, when the laptop wants it or goes away. Programs start others in sessions of their own
# (torchrun its workers), which no terminal and no signal to the program would reach.
import os
import signal
import subprocess
import sys
import time

PORT = int(sys.argv[1])
GRACE = 3  # seconds between asking to end and ending

os.remove(__file__)
os.rmdir(os.path.dirname(__file__))

clock = getattr(time, "monotonic", time.time)
child = None
status = None
ended = []
interrupts = []
# Processes seen below this one when the end was asked for: number -> start.
seen = {}


def processes():
    """Every process: number -> (parent, start). A start tells apart who is given a number again."""
    found = {}
    try:
        names = os.listdir("/proc")
    except OSError:
        names = []
    for name in names:
        try:
            with open("/proc/%d/stat" % int(name), "rb") as stat:
                # The name before the bracket may hold anything.
                fields = stat.read().rpartition(b")")[2].split()
            if fields[0] not in (b"Z", b"X"):
                found[int(name)] = (int(fields[1]), fields[19])
        except (ValueError, IndexError, IOError, OSError):
            pass
    return found


def below():
    """What runs below this process or was seen there: number -> start."""
    found = processes()
    roots = [number for number in seen if number in found and found[number][1] == seen[number]]
    tree = set(roots + [os.getpid()])
    grows = True
    while grows:
        more = [number for number in found if number not in tree and found[number][0] in tree]
        tree.update(more)
        grows = bool(more)
    tree.discard(os.getpid())
    return dict((number, found[number][1]) for number in tree)


def tell(number):
    if child is not None and status is None:
        # Where orphans do not come to this process, who loses its parent by this is not found again.
        seen.update(below())
        try:
            os.kill(child.pid, number)
        except OSError:
            pass


def on_interrupt(number, frame):
    # From a terminal the program has it as well; a program that will not go is ended by the second.
    interrupts.append(number)
    seen.update(below())
    if len(interrupts) > 1:
        tell(signal.SIGTERM if len(interrupts) == 2 else signal.SIGKILL)
    elif not os.isatty(0):
        tell(signal.SIGINT)


def on_end(number, frame):
    if not ended:
        ended.append(number)
        tell(signal.SIGINT)
        signal.alarm(GRACE)


def prctl(option, value):
    """Without it the parent's end is seen a moment later, and orphans may be missed."""
    try:
        import ctypes

        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)
    except Exception:  # a Python built without ctypes, or no Linux
        pass


signal.signal(signal.SIGINT, on_interrupt)
signal.signal(signal.SIGTERM, on_end)
signal.signal(signal.SIGHUP, on_end)
signal.signal(signal.SIGALRM, lambda number, frame: tell(signal.SIGKILL))

parent = os.getppid()
# PR_SET_PDEATHSIG: sshd ends with its connection, and without a terminal tells nobody.
prctl(1, signal.SIGTERM)
# PR_SET_CHILD_SUBREAPER: who loses its parent below this process becomes its child.
prctl(36, 1)
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
    tell(signal.SIGINT)
    signal.alarm(GRACE)
elif interrupts:
    tell(signal.SIGINT)


def reap():
    """Takes who has ended, the program or an orphan, and keeps the program's status."""
    global status
    while True:
        try:
            number, how = os.waitpid(-1, os.WNOHANG)
        except OSError:
            return
        if number == 0:
            return
        if number == child.pid:
            status = 128 + os.WTERMSIG(how) if os.WIFSIGNALED(how) else os.WEXITSTATUS(how)
            child.returncode = status  # so that Popen does not look for it


def end_all():
    """Ends what the program has left: asks, waits, and ends it."""
    for number, limit in ((signal.SIGTERM, GRACE), (signal.SIGKILL, GRACE)):
        told = {}
        until = clock() + limit
        presses = len(interrupts)
        while clock() < until and len(interrupts) == presses:
            reap()
            left = below()
            if not left:
                return
            for process, start in left.items():
                if told.get(process) != start:
                    told[process] = start
                    try:
                        os.kill(process, number)
                    except OSError:
                        pass
            time.sleep(0.05)


def listens():
    try:
        with open("/proc/net/tcp") as table:
            rows = [line.split() for line in table]
    except OSError:
        return True
    return any(row[1] == "0100007F:%04X" % PORT and row[3] == "0A" for row in rows[1:])


said = ASK["said"] is None
reap()
while status is None:
    if not said and listens():
        said = True
        sys.stderr.write(ASK["said"] + "\n")
        sys.stderr.flush()
    time.sleep(0.05 if not said else 0.2)
    if os.getppid() != parent:
        on_end(signal.SIGTERM, None)
    reap()

signal.alarm(0)
# What a program leaves that ends by itself was meant to stay.
if ended or interrupts:
    end_all()
sys.exit(status)
