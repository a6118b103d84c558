#!/usr/bin/env python3
"""Stand-ins of OpenPBS and Torque that really run jobs, for machines without either.

One program under several names: `qsub`, `qstat`, `qdel`, `qselect` and `pbsnodes` are what users
call; `pbs_standin server` runs on the login host, `pbs_standin mom` on each node. /etc/pbs-standin
holds the dialect, openpbs or torque. Words, formats and exit statuses are those recorded on
OpenPBS 23.06 and Torque 6.1.3 (tests/fixtures), as far as qdebug and its tests use them.

Clients and moms send the server one line of JSON and get one back. Nobody proves who he is: the
server believes the name that comes with a request, which is good enough for a throw-away cluster
and for nothing else. The moms ask for work; each answer holds all that should run on the node, so
that nothing is lost when a message is.
"""

from __future__ import annotations

import getopt
import grp
import json
import os
import pwd
import re
import shlex
import signal
import socket
import socketserver
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any, Callable, NoReturn
from xml.sax.saxutils import escape

Json = dict[str, Any]

SETTINGS = Path("/etc/pbs-standin")
SPOOL = Path("/var/spool/pbs-standin")
SERVER = "login"
PORT = 15001
QUEUE = "gpu"
# What the nodes have.
NODES: dict[str, Json] = {
    "node1": {"cpus": 8, "memory": 16 << 30, "gpus": 2, "model": "V100"},
    "node2": {"cpus": 8, "memory": 16 << 30, "gpus": 2, "model": "P100"},
}
VERSIONS = {"openpbs": "23.06.06", "torque": "6.1.3.h5"}
# Seconds: between two questions of a mom, and after which silence is a node that is down.
PACE = 0.2
DOWN_AFTER = 15.0
# Seconds from SIGTERM to SIGKILL.
OPENPBS_GRACE = 10.0
TORQUE_GRACE = 0.02
TORQUE_WALLTIME_GRACE = 2.0
# Seconds that Torque tells of a job that is over, and that an epilogue may take.
KEEP_COMPLETED = 300
EPILOGUE_LIMIT = 290
EXIT_WALLTIME = {"openpbs": -29, "torque": -11}
# Of jobs that a mom has lost by its own end.
EXIT_LOST = {"openpbs": -4, "torque": 0}


class Refusal(Exception):
    """A no: the exit status and the words after the tool's name."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status
        self.said = said


def dialect() -> str:
    """The dialect of this host."""
    name = SETTINGS.read_text().strip()
    if name not in VERSIONS:
        raise SystemExit("{}: no dialect: {}".format(SETTINGS, name))
    return name


def is_openpbs() -> bool:
    """Whether this host speaks OpenPBS' dialect."""
    return dialect() == "openpbs"


def ask(request: Json) -> Json:
    """Sends the server a request; raises Refusal for a no, OSError when it is away."""
    with socket.create_connection((SERVER, PORT), timeout=20) as connection:
        stream = connection.makefile("rwb")
        stream.write(json.dumps(request).encode() + b"\n")
        stream.flush()
        reply = json.loads(stream.readline())
    if "refused" in reply:
        raise Refusal(*reply["refused"])
    return reply


# What a job asks for.


def seconds(text: str) -> int:
    """`[[days:]hours:]minutes:seconds` or seconds; raises ValueError."""
    units = (1, 60, 3600, 86400)
    parts = [int(part) for part in reversed(text.split(":"))]
    if len(parts) > len(units) or min(parts) < 0:
        raise ValueError(text)
    return sum(part * unit for part, unit in zip(parts, units))


def clock(total: float) -> str:
    """`HH:MM:SS`."""
    whole = int(total)
    return "{:02}:{:02}:{:02}".format(whole // 3600, whole // 60 % 60, whole % 60)


def size(text: str) -> int:
    """`16gb` in bytes; raises ValueError."""
    found = re.fullmatch(r"(\d+)([kmgt]?)b?", text.lower())
    if not found:
        raise ValueError(text)
    return int(found[1]) << {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}[found[2]]


def wants(resources: dict[str, str]) -> Json:
    """What the values of `-l` ask for: cpus, memory, gpus, and the words a node must have."""
    want: Json = {"cpus": 1, "memory": 0, "gpus": 0, "models": []}
    if is_openpbs():
        return of_select(want, resources)
    return of_nodes(want, resources)


def of_select(want: Json, resources: dict[str, str]) -> Json:
    """OpenPBS: `select=1:ncpus=4:ngpus=2:gpu_model=V100`."""
    keys: dict[str, tuple[str, Callable[[str], Any]]] = {
        "ncpus": ("cpus", int),
        "mem": ("memory", size),
        "ngpus": ("gpus", int),
        "gpu_model": ("models", lambda model: [model]),
    }
    for name in resources:
        if name not in ("select", "walltime", "place", *keys):
            raise Refusal(187, "Unknown resource: " + name)
    chunk = resources.get("select", "1").split(":")
    words = [word.partition("=") for word in chunk if "=" in word]
    words += [(name, "=", resources[name]) for name in keys if name in resources]
    for name, _, value in words:
        if name not in keys:
            raise Refusal(187, "Unknown resource: " + name)
        key, read = keys[name]
        try:
            want[key] = read(value)
        except ValueError:
            said = "Illegal attribute or resource value Resource_List." + name
            raise Refusal(166, said) from None
    return want


def of_nodes(want: Json, resources: dict[str, str]) -> Json:
    """Torque: `nodes=1:ppn=2:gpus=1:V100`; other forms ask for nothing."""
    known = "nodes walltime mem epilogue prologue qos advres select gpus ncpus nodect".split()
    for name in resources:
        if name not in known:
            raise Refusal(189, "Unknown resource type  Resource_List." + name)
    for word in resources.get("nodes", "1").split(":")[1:]:
        name, _, value = word.partition("=")
        if name == "ppn":
            want["cpus"] = int(value)
        elif name == "gpus":
            want["gpus"] = int(value or 1)
        else:
            want["models"].append(word)
    if not any(missing(want, node) is None for node in NODES.values()):
        why = "cannot locate feasible nodes (nodes file is empty, all systems are busy, or no "
        why += "nodes have the requested feature)"
        raise Refusal(190, "Job exceeds queue resource limits MSG=" + why)
    return want


def missing(want: Json, node: Json) -> str | None:
    """The first thing a node lacks, as a key of what it has."""
    if any(model != node["model"] for model in want["models"]):
        return "model"
    lacks = (key for key in ("gpus", "cpus", "memory") if want[key] > node[key])
    return next(lacks, None)


# The server.


class Server:
    """The books: jobs by number, and when each node was last heard of."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.file = SPOOL / "server.json"
        self.heard: dict[str, float] = {}
        self.jobs: dict[int, Json] = {}
        if self.file.exists():
            kept = json.loads(self.file.read_text())
            self.jobs = {job["number"]: job for job in kept}
        self.next = max(self.jobs, default=0) + 1

    def answer(self, request: Json) -> Json:
        """Does what is asked, then what can run is run."""
        actions = {
            "submit": self.submit,
            "stat": self.stat,
            "delete": self.delete,
            "poll": self.poll,
        }
        with self.lock:
            try:
                reply = actions[request["do"]](request)
            except Refusal as no:
                return {"refused": [no.status, no.said]}
            if request["do"] in ("submit", "delete") or request.get("ended"):
                self.keep()
            return reply

    def keep(self) -> None:
        """Writes the books."""
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps(list(self.jobs.values())))
        new.rename(self.file)

    def submit(self, request: Json) -> Json:
        """A new job."""
        job = dict(request["job"])
        if job["queue"] != QUEUE:
            if is_openpbs():
                raise Refusal(170, "Unknown queue")
            raise Refusal(172, "Unknown queue MSG=requested queue not found")
        job["want"] = wants(job["resources"])
        number, self.next = self.next, self.next + 1
        now = time.time()
        job.update(
            number=number,
            id="{}.{}".format(number, SERVER),
            state="H" if job["hold"] else "Q",
            made=now,
            changed=now,
        )
        self.jobs[number] = job
        self.schedule()
        return {"id": job["id"]}

    def stat(self, request: Json) -> Json:
        """Everybody's jobs, and the nodes."""
        self.schedule()
        nodes = {name: {"up": self.is_up(name), **node} for name, node in NODES.items()}
        shown = [job for job in self.jobs.values() if not self.is_forgotten(job)]
        hidden = ("script", "environment")
        strip = lambda job: {key: job[key] for key in job if key not in hidden}
        return {"jobs": [strip(job) for job in shown], "nodes": nodes, "now": time.time()}

    @staticmethod
    def is_forgotten(job: Json) -> bool:
        """Whether Torque tells of it no longer."""
        if is_openpbs() or job["state"] != "F":
            return False
        return time.time() - job["ended"] > KEEP_COMPLETED

    def delete(self, request: Json) -> Json:
        """qdel of one job."""
        job = self.jobs.get(request["number"])
        if job is None or self.is_forgotten(job):
            raise Refusal(153, request["unknown"])
        if request["user"] not in (job["owner"], "root"):
            raise Refusal(159, request["unauthorized"])
        if job["state"] == "F":
            raise Refusal(*request["over"])
        by = "{}@{}".format(request["user"], request["host"])
        if job["state"] == "R":
            job.setdefault("deleted_by", by)
            job["force"] = request["force"]
            return {}
        job["deleted_by"] = by
        self.over(job, None)
        return {}

    def over(self, job: Json, exit_status: int | None) -> None:
        """A job is over; without a status it never ran."""
        now = time.time()
        job.update(state="F", ended=now, changed=now, exit=exit_status)
        if not is_openpbs():
            return
        if "deleted_by" not in job:
            end = " and failed" if exit_status else " and finished"
        elif exit_status is None:
            end = " and terminated"
        else:
            end = " and terminated by " + job["deleted_by"]
        job["comment"] = job.get("comment", "") + end

    def poll(self, request: Json) -> Json:
        """A mom: takes its news, tells what should run there."""
        node = request["node"]
        self.heard[node] = time.time()
        for number, exit_status in request["ended"].items():
            job = self.jobs.get(int(number))
            if job and job["state"] == "R":
                self.over(job, exit_status)
        here = [job for job in self.jobs.values() if job["state"] == "R" and job["node"] == node]
        for job in here:
            session = request["running"].get(str(job["number"]))
            if session is not None:
                job["session"] = session
            elif "session" in job:
                self.over(job, EXIT_LOST[dialect()])
        self.schedule()
        here = [job for job in self.jobs.values() if job["state"] == "R" and job["node"] == node]
        known = request["running"]
        return {
            "start": [job for job in here if str(job["number"]) not in known],
            "delete": {job["number"]: job["force"] for job in here if "deleted_by" in job},
        }

    def is_up(self, node: str) -> bool:
        """Whether a node has asked lately."""
        return time.time() - self.heard.get(node, 0) < DOWN_AFTER

    def free(self, name: str) -> Json:
        """What a node has left, with the numbers of its GPUs."""
        node = dict(NODES[name])
        node["indices"] = list(range(node["gpus"]))
        for job in self.jobs.values():
            if job["state"] == "R" and job["node"] == name:
                for key in ("cpus", "memory", "gpus"):
                    node[key] -= job["want"][key]
                node["indices"] = [i for i in node["indices"] if i not in job["indices"]]
        return node

    def schedule(self) -> None:
        """Runs what fits, the oldest first; tells of the others why not."""
        for job in self.jobs.values():
            if job["state"] == "Q":
                self.place(job)

    def place(self, job: Json) -> None:
        """Runs a job on the first node that has what it wants."""
        want = job["want"]
        lacks: list[str] = []
        for name in NODES:
            node = self.free(name)
            lack = missing(want, node) if self.is_up(name) else "cpus"
            if lack is None:
                self.run(job, name, node["indices"][: want["gpus"]])
                return
            if missing(want, NODES[name]) is None:
                lacks.append(lack)
        job["comment"] = self.reason(want, lacks)

    @staticmethod
    def run(job: Json, node: str, indices: list[int]) -> None:
        """Gives a job to a node."""
        now = time.time()
        job.update(state="R", node=node, indices=indices, started=now, changed=now)
        if is_openpbs():
            when = time.strftime("%a %b %d at %H:%M", time.gmtime(now))
            job["comment"] = "Job run at {} on {}".format(when, vnode(job))
        else:
            when = time.strftime("%a %b %d at %H:%M", time.gmtime(now))
            job["comment"] = "Job started on " + when

    @staticmethod
    def reason(want: Json, lacks: list[str]) -> str:
        """Why a job waits; `lacks` is empty when no node could ever run it."""
        if not is_openpbs():
            return "Not Running: Not enough of the right type of nodes are available"
        names = {"model": "gpu_model", "gpus": "ngpus", "cpus": "ncpus", "memory": "mem"}
        if lacks:
            name = "gpu_model" if lacks[0] == "gpus" and want["models"] else names[lacks[0]]
            return "Not Running: Insufficient amount of resource: {} ".format(name)
        models = sorted((node["model"] for node in NODES.values()), reverse=True)
        if any(model not in models for model in want["models"]):
            asked = "gpu_model ({} != {})".format(want["models"][0], ",".join(models))
            return "Can Never Run: Insufficient amount of resource: " + asked
        lack = next(filter(None, (missing(want, node) for node in NODES.values())))
        for key in ("gpus", "cpus", "memory"):
            if want[key] > max(node[key] for node in NODES.values()):
                lack = key
        key = lack if lack != "model" else "gpus"
        most = max(node[key] for node in NODES.values())
        numbers = "{} (R: {} A: {} T: {})".format(names[key], want[key], most, most)
        return "Can Never Run: Insufficient amount of resource: " + numbers


def serve() -> None:
    """The server's loop."""
    SPOOL.mkdir(parents=True, exist_ok=True)
    books = Server()

    class Line(socketserver.StreamRequestHandler):
        """One request."""

        timeout = 20

        def handle(self) -> None:
            request = json.loads(self.rfile.readline())
            self.wfile.write(json.dumps(books.answer(request)).encode() + b"\n")

    class Listener(socketserver.ThreadingTCPServer):
        """A slow client holds up nobody."""

        allow_reuse_address = True
        daemon_threads = True
        request_queue_size = 128

    with Listener(("", PORT), Line) as listener:
        listener.serve_forever()


# The mom.


def session_of(leader: int) -> list[int]:
    """The living processes of a session."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            text = Path("/proc", entry, "stat").read_text(errors="replace")
        except OSError:
            continue
        # The name, in brackets, may hold anything.
        fields = text.rpartition(")")[2].split()
        if fields[0] not in "ZX" and int(fields[3]) == leader:
            found.append(int(entry))
    return found


def signal_session(leader: int, number: int) -> None:
    """A signal for every process of a session."""
    for pid in session_of(leader):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass


class Task:
    """A job on its node."""

    def __init__(self, job: Json) -> None:
        self.job = job
        self.account = pwd.getpwnam(job["owner"])
        self.script = SPOOL / "jobs" / (job["id"] + ".SC")
        self.output = SPOOL / "spool" / (job["id"] + ".OU")
        # Torque's, with its two slashes.
        self.aux = "{}/aux//{}".format(SPOOL, job["id"])
        self.exit: int | None = None
        self.kill_at: float | None = None
        self.overrun = False
        self.last: subprocess.Popen[bytes] | None = None
        self.last_until = 0.0
        self.steps = [self.epilogue, self.deliver]
        self.started = time.monotonic()
        self.lay_files()
        self.leader: subprocess.Popen[bytes] | None = None
        self.session = 0
        try:
            self.leader = self.start()
            self.session = self.leader.pid
        except (OSError, subprocess.SubprocessError) as error:
            print(job["id"], error, flush=True)
            self.exit = -1

    def lay_files(self) -> None:
        """The script, the lists of nodes and GPUs, the spooled output."""
        owner = (self.account.pw_uid, self.account.pw_gid)
        node = self.job["node"]
        self.script.write_text(self.job["script"], errors="surrogateescape")
        self.script.chmod(0o700)
        self.output.write_bytes(b"")
        self.output.chmod(0o600)
        for path in (self.script, self.output):
            os.chown(path, *owner)
        Path(self.aux).write_text((node + "\n") * self.job["want"]["cpus"])
        gpus = ["{}-gpu{}\n".format(node, index) for index in self.job["indices"]]
        if gpus and not is_openpbs():
            Path(self.aux + "gpu").write_text("".join(gpus))

    def environment(self) -> dict[str, str]:
        """What the job's login shell starts with."""
        job = self.job
        env = {
            "HOME": self.account.pw_dir,
            "LOGNAME": job["owner"],
            "USER": job["owner"],
            "SHELL": self.account.pw_shell,
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "ENVIRONMENT": "BATCH",
            "PBS_ENVIRONMENT": "PBS_BATCH",
            "PBS_JOBID": job["id"],
            "PBS_JOBNAME": job["name"],
            "PBS_NODEFILE": self.aux,
            "PBS_NODENUM": "0",
            "PBS_QUEUE": job["queue"],
            "PBS_O_HOME": self.account.pw_dir,
            "PBS_O_HOST": job["host"],
            "PBS_O_QUEUE": job["queue"],
            "PBS_O_WORKDIR": job["directory"],
        }
        if not is_openpbs():
            env["PBS_GPUFILE"] = self.aux + "gpu"
            env["PBS_VERSION"] = "TORQUE-" + VERSIONS["torque"]
            env["PBS_WALLTIME"] = str(job["walltime"] or 0)
            if job["indices"]:
                numbers = sorted(job["indices"], reverse=True)
                env["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, numbers))
        return {**job["environment"], **env}

    def as_owner(self, words: list[str], **more: Any) -> subprocess.Popen[bytes]:
        """Starts a program as the job's owner, in a session of its own."""
        groups = os.getgrouplist(self.account.pw_name, self.account.pw_gid)
        return subprocess.Popen(
            words,
            user=self.account.pw_uid,
            group=self.account.pw_gid,
            extra_groups=groups,
            start_new_session=True,
            umask=0o077,
            **more,
        )

    def start(self) -> subprocess.Popen[bytes]:
        """The shell: a login shell that reads the script's path, and runs it as its child."""
        shell = self.job["shell"] or self.account.pw_shell
        target = self.target() if self.is_live() else str(self.output)

        def redirect() -> None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            log = os.open(target, flags, 0o600)
            os.dup2(log, 1)
            os.dup2(log, 2)

        leader = self.as_owner(
            ["-" + Path(shell).name],
            executable=shell,
            env=self.environment(),
            cwd=self.account.pw_dir,
            stdin=subprocess.PIPE,
            # It runs after the change of user: the owner opens the file.
            preexec_fn=redirect,
        )
        if leader.stdin is None:
            raise OSError("no pipe")
        try:
            leader.stdin.write(str(self.script).encode() + b"\n")
            leader.stdin.close()
        except BrokenPipeError:
            pass
        return leader

    def is_live(self) -> bool:
        """Whether output goes where it belongs at once: `-k oed`."""
        return is_openpbs() and "d" in self.job["keep"]

    def target(self) -> str:
        """Where output belongs."""
        return str(self.job["output"]).partition(":")[2]

    def stop(self, grace: float) -> None:
        """SIGTERM, and SIGKILL when the grace is over; a second one changes nothing."""
        if self.kill_at is None:
            self.kill_at = time.monotonic() + grace
            signal_session(self.session, signal.SIGTERM)

    def delete(self, force: bool) -> None:
        """qdel."""
        if force:
            signal_session(self.session, signal.SIGKILL)
        elif is_openpbs():
            self.stop(OPENPBS_GRACE)
        else:
            self.stop(float(self.job["kill_delay"] or TORQUE_GRACE))

    def is_over(self) -> bool:
        """A look at the job: does what is due, says whether all of it is done."""
        if self.exit is None:
            self.watch()
        if self.exit is None:
            return False
        return self.wind_up()

    def watch(self) -> None:
        """The walltime, the end of a grace, the leader's end."""
        now = time.monotonic()
        walltime = self.job["walltime"]
        if walltime and now - self.started > walltime and not self.overrun:
            self.overrun = True
            self.stop(OPENPBS_GRACE if is_openpbs() else TORQUE_WALLTIME_GRACE)
        if self.kill_at is not None and now > self.kill_at:
            signal_session(self.session, signal.SIGKILL)
        code = self.leader.poll() if self.leader else 1
        if code is None:
            return
        # Where a job was told to stop, OpenPBS gives the grace to all of its session.
        if is_openpbs() and self.kill_at is not None and session_of(self.session):
            return
        signal_session(self.session, signal.SIGKILL)
        self.exit = 256 - code if code < 0 else code
        if self.overrun:
            self.exit = EXIT_WALLTIME[dialect()]

    def wind_up(self) -> bool:
        """One step after another, each a process of the owner's, until none is left."""
        if self.last is not None:
            if self.last.poll() is None:
                if time.monotonic() > self.last_until:
                    signal_session(self.last.pid, signal.SIGKILL)
                return False
            self.last = None
        while self.steps and self.last is None:
            self.last = self.steps.pop(0)()
            self.last_until = time.monotonic() + EPILOGUE_LIMIT
        if self.last is not None:
            return False
        for path in (self.script, self.output, Path(self.aux), Path(self.aux + "gpu")):
            path.unlink(missing_ok=True)
        return True

    def epilogue(self) -> subprocess.Popen[bytes] | None:
        """Torque's `-l epilogue=`; one that others could write is skipped without a word."""
        path = self.job["resources"].get("epilogue")
        if is_openpbs() or not path:
            return None
        try:
            found = os.stat(path)
        except OSError:
            return None
        is_safe = found.st_uid == self.account.pw_uid and not found.st_mode & 0o022
        if not (is_safe and stat.S_ISREG(found.st_mode) and found.st_mode & 0o500 == 0o500):
            return None
        job = self.job
        asked = ",".join("=".join(pair) for pair in job["resources"].items())
        used = "cput=00:00:00,mem=0kb,vmem=0kb,walltime="
        words = [path, job["id"], job["owner"], grp.getgrgid(self.account.pw_gid).gr_name]
        words += [job["name"], str(self.session), asked]
        words += [used + clock(time.monotonic() - self.started), job["queue"]]
        words += [job["account"], str(self.exit), str(self.script)]
        return self.quiet(words, {"PATH": "/bin:/usr/bin"})

    def deliver(self) -> subprocess.Popen[bytes] | None:
        """Output that was spooled goes where it belongs."""
        if self.is_live():
            return None
        words = ["cp", "--", str(self.output), self.target()]
        return self.quiet(words, {"PATH": "/usr/bin:/bin"})

    def quiet(self, words: list[str], env: dict[str, str]) -> subprocess.Popen[bytes] | None:
        """A step that says nothing and whose failure changes nothing."""
        null = subprocess.DEVNULL
        try:
            return self.as_owner(
                words, env=env, cwd=self.account.pw_dir, stdin=null, stdout=null, stderr=null
            )
        except (OSError, subprocess.SubprocessError) as error:
            print(self.job["id"], words[0], error, flush=True)
            return None


def attend() -> None:
    """The mom's loop."""
    for folder in ("jobs", "spool", "aux"):
        (SPOOL / folder).mkdir(parents=True, exist_ok=True)
    node = socket.gethostname()
    tasks: dict[int, Task] = {}
    ended: dict[int, int | None] = {}
    while True:
        for number, task in list(tasks.items()):
            if task.is_over():
                ended[number] = task.exit
                del tasks[number]
        running = {number: task.session for number, task in tasks.items()}
        try:
            orders = ask({"do": "poll", "node": node, "running": running, "ended": ended})
        except (OSError, ValueError) as error:
            print("server:", error, flush=True)
            time.sleep(1)
            continue
        ended.clear()
        for job in orders["start"]:
            tasks[job["number"]] = Task(job)
        for number, force in orders["delete"].items():
            if int(number) in tasks:
                tasks[int(number)].delete(force)
        # Torque's grace is shorter than the pace.
        hurry = any(task.kill_at is not None for task in tasks.values()) and not is_openpbs()
        time.sleep(TORQUE_GRACE if hurry else PACE)


# The tools of users.


def me() -> str:
    """The user's name."""
    return pwd.getpwuid(os.getuid()).pw_name


def leave(tool: str, status: int, said: str) -> NoReturn:
    """Ends a tool with words on stderr."""
    print("{}: {}".format(tool, said), file=sys.stderr)
    raise SystemExit(status)


def options(tool: str, letters: str, words: list[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """Options and operands; ends the tool when there is one it does not know."""
    try:
        return getopt.getopt(words, letters)
    except getopt.GetoptError as error:
        said = "invalid option -- '{}'\nusage: {} [options]".format(error.opt, tool)
        leave(tool, 2, said)


def number_of(word: str) -> int | None:
    """The number of `12` or `12.login`."""
    found = re.fullmatch(r"(\d+)(\.{})?".format(SERVER), word)
    return int(found[1]) if found else None


QSUB = {
    "openpbs": "a:A:c:C:e:fhj:k:l:m:M:N:o:p:P:q:r:R:S:u:v:VW:z",
    "torque": "a:A:b:c:C:d:D:e:fhj:k:K:l:m:M:N:o:p:P:q:r:S:T:u:v:VwW:xXz",
}


def directives(script: str) -> list[str]:
    """Options on the `#PBS` lines before the first command."""
    words: list[str] = []
    for line in script.splitlines():
        if line.startswith("#PBS "):
            words += shlex.split(line[5:])
        elif line.strip() and not line.startswith(("#", ":")):
            break
    return words


def read_script(operands: list[str]) -> tuple[str, str]:
    """The script and the name it gives its job."""
    if not operands or operands[0] == "-":
        return sys.stdin.read(), "STDIN"
    path = Path(operands[0])
    try:
        return path.read_text(errors="surrogateescape"), path.name
    except OSError as error:
        if is_openpbs():
            leave("qsub", 1, "script file:: " + str(error.strerror))
        said = "script file '{}' cannot be loaded - {}".format(path, error.strerror)
        leave("qsub", 1, said)


def exported(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """What `-v` and `-V` hand to the job."""
    env: dict[str, str] = {}
    for letter, value in pairs:
        if letter == "-V":
            env.update(os.environ)
        if letter == "-v":
            for word in value.split(","):
                name, equals, text = word.partition("=")
                env[name] = text if equals else os.environ.get(name, "")
    return env


def resources_of(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """The values of every `-l`; of two of a name the first rules, as in a command before `#PBS`."""
    found: dict[str, str] = {}
    for letter, value in pairs:
        if letter == "-l":
            for word in value.split(","):
                name, _, text = word.partition("=")
                found.setdefault(name, text)
    return found


def qsub(words: list[str]) -> None:
    """Submits a job and prints its id."""
    letters = QSUB[dialect()]
    pairs, operands = options("qsub", letters, words)
    script, name = read_script(operands)
    all_pairs = pairs + options("qsub", letters, directives(script))[0]
    # The command's own rule over those of the script.
    given = dict(reversed(all_pairs))
    name = given.get("-N", name)
    resources = resources_of(all_pairs)
    try:
        walltime = seconds(resources["walltime"]) if "walltime" in resources else None
    except ValueError:
        leave("qsub", 166, "Illegal attribute or resource value Resource_List.walltime")
    output = Path(os.getcwd(), given.get("-o", name + ".o").rpartition(":")[2])
    if given.get("-o", "").startswith("/"):
        output = Path(given["-o"])
    host = socket.gethostname()
    job = {
        "name": name,
        "owner": me(),
        "host": host,
        "queue": given.get("-q", QUEUE),
        "account": given.get("-A", ""),
        "project": given.get("-P", "_pbs_project_default"),
        "hold": "-h" in given,
        "shell": given.get("-S", ""),
        "keep": given.get("-k", "n"),
        "join": given.get("-j", "n"),
        "rerun": given.get("-r", "y"),
        "kill_delay": given.get("-K", ""),
        "output": "{}:{}".format(host, output),
        "resources": resources,
        "walltime": walltime,
        "environment": exported(all_pairs),
        "arguments": " ".join(words),
        "directory": os.getcwd(),
        "script": script,
    }
    try:
        print(ask({"do": "submit", "job": job})["id"])
    except Refusal as no:
        said = no.said if is_openpbs() else "submit error ({})".format(no.said)
        leave("qsub", no.status, said)


def qdel(words: list[str]) -> None:
    """Deletes jobs."""
    pairs, operands = options("qdel", "W:xm:pt:cab:", words)
    status = 0
    for word in operands:
        number = number_of(word)
        full = "{}.{}".format(number, SERVER)
        if number is None:
            print("qdel: illegally formed job identifier: " + word, file=sys.stderr)
            status = 1
            continue
        request = {"do": "delete", "number": number, "user": me(), "host": socket.gethostname()}
        request["force"] = ("-W", "force") in pairs
        if is_openpbs():
            request["unknown"] = "Unknown Job Id " + full
            request["unauthorized"] = "Unauthorized Request  " + full
            request["over"] = [35, "Job has finished " + full]
        else:
            request["unknown"] = "nonexistent job id: " + word
            no = "Unauthorized Request  MSG=operation not permitted "
            request["unauthorized"] = no + full
            why = "Request invalid for state of job MSG=invalid state for job - COMPLETE "
            request["over"] = [170, why + full]
        try:
            ask(request)
        except Refusal as no_:
            print("qdel: " + no_.said, file=sys.stderr)
            status = no_.status
    raise SystemExit(status)


def qselect(words: list[str]) -> None:
    """Prints the ids of jobs of a user, a name, some states."""
    pairs, _ = options("qselect", "a:A:c:h:l:N:p:q:r:s:u:x", words)
    given = dict(pairs)
    for job in ask({"do": "stat"})["jobs"]:
        if is_openpbs() and job["state"] == "F" and "-x" not in given:
            continue
        fits = given.get("-N", job["name"]) == job["name"]
        fits = fits and job["owner"] in given.get("-u", job["owner"]).split(",")
        if fits and letter_of(job) in given.get("-s", letter_of(job)):
            print(job["id"])


def letter_of(job: Json) -> str:
    """The state as the dialect writes it."""
    state = str(job["state"])
    return "C" if state == "F" and not is_openpbs() else state


# What is printed of a job.


def vnode(job: Json) -> str:
    """OpenPBS: `(node1:ncpus=1:ngpus=1)`."""
    want = job["want"]
    words = [job["node"], "ncpus={}".format(want["cpus"])]
    if want["memory"]:
        words.append("mem={}kb".format(want["memory"] >> 10))
    if want["gpus"]:
        words.append("ngpus={}".format(want["gpus"]))
    return "({})".format(":".join(words))


def ctime(at: float) -> str:
    """As ctime(3), in the zone of TZ."""
    return time.ctime(at)


def slots(job: Json) -> str:
    """The processors: `node1/0` or `node1/0*4`, `node1/0-3`."""
    count = job["want"]["cpus"]
    if is_openpbs():
        return "{}/0{}".format(job["node"], "*{}".format(count) if count > 1 else "")
    return "{}/0{}".format(job["node"], "-{}".format(count - 1) if count > 1 else "")


def of_openpbs(job: Json, now: float) -> Json:
    """The fields of OpenPBS' qstat -f, in its order."""
    state, ran = job["state"], "started" in job
    want = job["want"]
    fields: Json = {
        "Job_Name": job["name"],
        "Job_Owner": "{}@{}".format(job["owner"], job["host"]),
    }
    if ran:
        used = job.get("ended", now) - job["started"]
        fields["resources_used"] = {"cput": "00:00:00", "mem": "0kb", "walltime": clock(used)}
    fields.update(
        job_state=state,
        queue=job["queue"],
        server=SERVER,
        Checkpoint="u",
        ctime=ctime(job["made"]),
    )
    if ran:
        fields.update(exec_host=slots(job), exec_vnode=vnode(job))
    asked: Json = {"ncpus": want["cpus"]}
    if want["gpus"]:
        asked["ngpus"] = want["gpus"]
    asked.update(nodect=1, place="free", **job["resources"])
    fields.update(
        Hold_Types="u" if job["state"] == "H" else "n",
        Join_Path=job["join"],
        Keep_Files=job["keep"],
        Mail_Points="a",
        mtime=ctime(job["changed"]),
        Output_Path=job["output"],
        Priority=0,
        qtime=ctime(job["made"]),
        Rerunable="False" if job["rerun"] == "n" else "True",
        Resource_List=asked,
    )
    if ran:
        fields["stime"] = ctime(job["started"])
    if job.get("session"):
        fields.update(session_id=job["session"], jobdir="/home/" + job["owner"])
    substates = {"Q": 10, "H": 20, "R": 42}
    fields["substate"] = substates.get(state) or substate_of_end(job)
    variables = {
        "PBS_O_WORKDIR": job["directory"],
        "PBS_O_QUEUE": job["queue"],
        "PBS_O_HOST": job["host"],
    }
    fields["Variable_List"] = variables
    if job.get("comment"):
        fields["comment"] = job["comment"]
    fields["etime"] = ctime(job["made"])
    if ran:
        fields["run_count"] = 1
    if job.get("exit") is not None:
        fields["Exit_status"] = job["exit"]
    fields["Submit_arguments"] = job["arguments"]
    if state == "F":
        fields["history_timestamp"] = int(job["ended"])
    fields.update(project=job["project"], Submit_Host=job["host"])
    return fields


def substate_of_end(job: Json) -> int:
    """91 deleted, 92 finished, 93 failed."""
    if "deleted_by" in job:
        return 91
    return 93 if job.get("exit") else 92


def of_torque(job: Json, now: float, when: Callable[[float], Any]) -> Json:
    """The fields of Torque's qstat -f, in its order; `when` writes a time."""
    ran = "started" in job
    fields: Json = {
        "Job_Name": job["name"],
        "Job_Owner": "{}@{}".format(job["owner"], job["host"]),
    }
    if ran and "ended" in job:
        used = clock(job["ended"] - job["started"])
        fields["resources_used"] = {"cput": "00:00:00", "mem": "0kb", "walltime": used}
    fields.update(
        job_state=letter_of(job),
        queue=job["queue"],
        server=SERVER,
        Checkpoint="u",
        ctime=when(job["made"]),
    )
    if ran:
        fields["exec_host"] = slots(job)
        gpus = ["{}-gpu/{}".format(job["node"], index) for index in job["indices"]]
        if gpus:
            fields["exec_gpus"] = "+".join(reversed(gpus))
    asked = {name: text for name, text in job["resources"].items() if name != "epilogue"}
    fields.update(
        Hold_Types="u" if job["state"] == "H" else "n",
        Join_Path=job["join"],
        Keep_Files=job["keep"],
        Mail_Points="a",
        mtime=when(job["changed"]),
        Output_Path=job["output"],
        Priority=0,
        qtime=when(job["made"]),
        Rerunable="False" if job["rerun"] == "n" else "True",
        Resource_List={**asked, "nodect": 1},
    )
    if job.get("session"):
        fields["session_id"] = job["session"]
    variables = {
        "PBS_O_QUEUE": job["queue"],
        "PBS_O_WORKDIR": job["directory"],
        "PBS_O_HOST": job["host"],
    }
    fields["Variable_List"] = ",".join(map("=".join, variables.items()))
    fields.update(euser=job["owner"], queue_type="E")
    if job.get("comment"):
        fields["comment"] = job["comment"]
    fields["etime"] = when(job["made"])
    if job.get("exit") is not None:
        fields["exit_status"] = job["exit"]
    fields["submit_args"] = job["arguments"]
    if ran:
        fields["start_time"] = when(job["started"])
        if "ended" not in job and job["walltime"]:
            left = int(job["started"] + job["walltime"] - now)
            fields["Walltime"] = {"Remaining": max(left, 0)}
        fields["start_count"] = 1
    if "ended" in job:
        fields["comp_time"] = when(job["ended"])
    fields.update(submit_host=job["host"], init_work_dir=job["directory"], request_version=1)
    return fields


def xml(fields: Json) -> str:
    """Fields as Torque's XML, without blanks between."""
    parts = []
    for name, value in fields.items():
        inner = xml(value) if isinstance(value, dict) else escape(str(value))
        parts.append("<{0}>{1}</{0}>".format(name, inner))
    return "".join(parts)


def text(fields: Json, prefix: str = "") -> list[str]:
    """Fields as lines, folded behind a tab where they are long, as both dialects do."""
    lines = []
    for name, value in fields.items():
        if name == "Variable_List" and isinstance(value, dict):
            value = ",".join("{}={}".format(*pair) for pair in value.items())
        if isinstance(value, dict):
            lines += text(value, name + ".")
            continue
        line = "    {}{} = {}".format(prefix, name, value)
        lines.append(line[:79])
        rest = line[79:]
        while rest:
            lines.append("\t" + rest[:71])
            rest = rest[71:]
    return lines


def document(more: Json) -> str:
    """OpenPBS' JSON."""
    head: Json = {"timestamp": int(time.time()), "pbs_version": VERSIONS["openpbs"]}
    head["pbs_server"] = SERVER
    return json.dumps({**head, **more}, indent=4)


def chosen(operands: list[str], jobs: list[Json], history: bool) -> tuple[list[Json], int]:
    """The jobs that are asked for, and the exit status; complains about the others."""
    if not operands:
        over = "F" if is_openpbs() and not history else ""
        return [job for job in jobs if job["state"] != over], 0
    known = {job["number"]: job for job in jobs}
    found: list[Json] = []
    status = 0
    for word in operands:
        number = number_of(word)
        job = known.get(number) if number is not None else None
        if word == QUEUE:
            found += [job for job in jobs if job["state"] != "F"]
            continue
        if number is None:
            status, said = 170, "Unknown queue destination " + word
            if not is_openpbs():
                said = "Unknown queue destination " + word
        elif job is None:
            name = "{}.{}".format(number, SERVER)
            no = "Unknown Job Id " if is_openpbs() else "Unknown Job Id Error "
            status, said = 153, no + name
        elif is_openpbs() and job["state"] == "F" and not history:
            advice = " Job has finished, use -x or -H to obtain historical job information"
            status, said = 35, job["id"] + advice
        else:
            found.append(job)
            continue
        print("qstat: " + said, file=sys.stderr)
    return found, status


def server_fields(jobs: list[Json]) -> Json:
    """What `qstat -B -f` tells."""
    fields: Json = {
        "server_state": "Active",
        "scheduling": "True",
        "total_jobs": len(jobs),
        "default_queue": QUEUE,
        "pbs_version": VERSIONS[dialect()],
    }
    if is_openpbs():
        fields["job_history_enable"] = "True"
    else:
        fields["keep_completed"] = KEEP_COMPLETED
    return fields


def qstat(words: list[str]) -> None:
    """Tells of jobs, of the queue (-Q), of the server (-B)."""
    pairs, operands = options("qstat", "aBfF:HiG1nNqQrstTu:wx", words)
    given = dict(pairs)
    answer = ask({"do": "stat"})
    is_json = given.get("-F") == "json"
    if "-B" in given or "-Q" in given or "-q" in given:
        is_server = "-B" in given
        kind, name = ("Server", SERVER) if is_server else ("Queue", QUEUE)
        fields: Json = {"queue_type": "Execution", "enabled": "True", "started": "True"}
        if is_server:
            fields = server_fields(answer["jobs"])
        if is_json:
            print(document({kind: {name: fields}}))
        else:
            print("\n".join(["{}: {}".format(kind, name), *text(fields), ""]))
        return
    jobs, status = chosen(operands, answer["jobs"], "-x" in given)
    if "-u" in given:
        jobs = [job for job in jobs if job["owner"] in given["-u"].split(",")]
    print_jobs(jobs, status, given, answer["now"])
    raise SystemExit(status)


def print_jobs(jobs: list[Json], status: int, given: dict[str, str], now: float) -> None:
    """Prints jobs in the form the options ask for."""
    if "-f" not in given:
        print_table(jobs)
    elif is_openpbs() and given.get("-F") == "json":
        listed = {job["id"]: of_openpbs(job, now) for job in jobs}
        print(document({"Jobs": listed} if listed else {}))
    elif not is_openpbs() and "-x" in given:
        if jobs or status == 0:
            each = ({"Job_Id": job["id"], **of_torque(job, now, int)} for job in jobs)
            body = "".join(xml({"Job": job}) for job in each)
            print('<?xml version="1.0"?>\n<Data>{}</Data>'.format(body), end="")
    else:
        for job in jobs:
            fields = of_openpbs(job, now) if is_openpbs() else of_torque(job, now, ctime)
            print("\n".join(["Job Id: " + job["id"], *text(fields), ""]))


def print_table(jobs: list[Json]) -> None:
    """A line for each job."""
    if not jobs:
        return
    row = "{:<25} {:<16} {:<15} {:>8} {} {}"
    print(row.format("Job ID", "Name", "User", "Time Use", "S", "Queue"))
    print(row.format("-" * 25, "-" * 16, "-" * 15, "-" * 8, "-", "-" * 5))
    for job in jobs:
        cells = (job["id"], job["name"][:16], job["owner"], 0, letter_of(job), job["queue"])
        print(row.format(*cells))


def node_fields(name: str, node: Json, jobs: list[Json]) -> Json:
    """What pbsnodes tells of a node."""
    state = "free" if node["up"] else "down"
    here = [job for job in jobs if job["state"] == "R" and job["node"] == name]
    if is_openpbs():
        there = {"ncpus": node["cpus"], "mem": "{}kb".format(node["memory"] >> 10)}
        there.update(ngpus=node["gpus"], gpu_model=node["model"])
        used = {
            "ncpus": sum(job["want"]["cpus"] for job in here),
            "ngpus": sum(job["want"]["gpus"] for job in here),
        }
        return {"Mom": name, "state": state, "resources_available": there, "resources_assigned": used}
    fields = {"state": state, "power_state": "Running", "np": node["cpus"]}
    fields.update(properties=node["model"], ntype="cluster")
    if here:
        fields["jobs"] = ",".join("0/" + job["id"] for job in here)
    fields.update(mom_service_port=15002, mom_manager_port=15003, gpus=node["gpus"])
    return fields


def pbsnodes(words: list[str]) -> None:
    """Tells of nodes."""
    pairs, operands = options("pbsnodes", "aF:jlLSvxq", words)
    given = dict(pairs)
    answer = ask({"do": "stat"})
    for name in operands:
        if name not in answer["nodes"]:
            no = "Error: " if is_openpbs() else "Unknown node  MSG=cannot locate specified node "
            leave("pbsnodes", 1 if is_openpbs() else 170, no + name)
    names = operands or list(answer["nodes"])
    nodes = {name: node_fields(name, answer["nodes"][name], answer["jobs"]) for name in names}
    if given.get("-F") == "json":
        print(document({"nodes": nodes}))
    elif "-x" in given and not is_openpbs():
        each = (xml({"Node": {"name": name, **fields}}) for name, fields in nodes.items())
        print("<Data>{}</Data>".format("".join(each)))
    else:
        for name, fields in nodes.items():
            lines = [line.replace("    ", "     ", 1) for line in text(fields)]
            print("\n".join([name, *lines, ""]))


TOOLS: dict[str, Callable[[list[str]], None]] = {
    "qsub": qsub,
    "qstat": qstat,
    "qdel": qdel,
    "qselect": qselect,
    "pbsnodes": pbsnodes,
}


def tool(name: str, words: list[str]) -> None:
    """Runs a tool of users."""
    if words[:1] == ["--version"]:
        form = "pbs_version = {}" if is_openpbs() else "Version: {}\nCommit: "
        print(form.format(VERSIONS[dialect()]))
        return
    try:
        TOOLS[name](words)
    except OSError as error:
        where = "{} (errno={})".format(SERVER, 15010 if is_openpbs() else error.errno)
        said = "cannot connect to server {}".format(where)
        away = (255 if name == "qstat" else 162) if is_openpbs() else 111
        leave(name, away, "{}\n{}: {}".format(error.strerror, name, said))


def main() -> None:
    """One program, many names."""
    name = Path(sys.argv[0]).name
    if name in TOOLS:
        tool(name, sys.argv[1:])
    elif sys.argv[1:] == ["server"]:
        serve()
    elif sys.argv[1:] == ["mom"]:
        attend()
    else:
        raise SystemExit("usage: pbs_standin server|mom")


if __name__ == "__main__":
    main()
