"""The server: its books of jobs and nodes, and where the next job runs. It reaches no node."""

from __future__ import annotations

import json
import socketserver
import threading
import time

from hookbook import HookBook
from jobs import vnode
from settings import (
    DOWN_AFTER,
    EXIT_LOST,
    EXIT_RETRY,
    KEEP_COMPLETED,
    NODES,
    PBSE_NORERUN,
    PORT,
    QUEUE,
    SERVER,
    TRIES,
    Json,
    Refusal,
    dialect,
    home,
    is_openpbs,
)
from wants import clock, missing, wants


class Server:
    """The books: jobs by number, and when each node was last heard of."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.file = home() / "server_priv" / "server.json"
        self.file.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
        self.hooks = HookBook()
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
            "alter": self.alter,
            "rerun": self.rerun,
            "poll": self.poll,
            "hook": self.hooks.change,
        }
        with self.lock:
            try:
                reply = actions[request["do"]](request)
            except Refusal as no:
                return {"refused": [no.status, no.said]}
            if request["do"] != "stat" and (request["do"] != "poll" or request["ended"]):
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
        told = [{key: job[key] for key in job if key not in hidden} for job in shown]
        return {"jobs": told, "nodes": nodes, "now": time.time()}

    @staticmethod
    def is_forgotten(job: Json) -> bool:
        """Whether Torque tells of it no longer: some time after its end, or at once when purged."""
        if job.get("purged"):
            return True
        if is_openpbs() or job["state"] != "F":
            return False
        return bool(time.time() - job["ended"] > KEEP_COMPLETED)

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
            # The node has yet to hear of it.
            job["purged"] = request["force"] and not is_openpbs()
            return {}
        job["deleted_by"] = by
        self.over(job, None)
        return {}

    def known(self, request: Json) -> Json:
        """The job that an admin is about to change."""
        job = self.jobs.get(request["number"])
        if job is None or self.is_forgotten(job):
            raise Refusal(153, request["unknown"])
        if request["user"] != "root":
            raise Refusal(159, "Unauthorized Request ")
        return job

    def alter(self, request: Json) -> Json:
        """qalter of one job."""
        job = self.known(request)
        job.update(request["changes"], changed=time.time())
        if "walltime" in request["changes"]:
            job["resources"]["walltime"] = clock(job["walltime"])
        return {}

    def rerun(self, request: Json) -> Json:
        """qrerun of one job: its node ends it, and then it waits again."""
        job = self.known(request)
        if job["rerun"] == "n":
            raise Refusal(PBSE_NORERUN, "job is not rerunnable")
        if job["state"] != "R":
            raise Refusal(170, "Request invalid for state of job")
        job["again"] = True
        return {}

    @staticmethod
    def waits(job: Json) -> None:
        """A job that ran, or should have run, waits for its turn."""
        for key in ("node", "indices", "started", "session", "again"):
            job.pop(key, None)
        job.update(state="Q", changed=time.time())

    def again(self, job: Json) -> None:
        """A node refused a job: it waits, and OpenPBS holds it when that was too often."""
        self.waits(job)
        job["tries"] = job.get("tries", 0) + 1
        if is_openpbs() and job["tries"] >= TRIES:
            job.update(state="H", comment="job held, too many failed attempts to run")

    def over(self, job: Json, exit_status: int | None) -> None:
        """A job is over; without a status it never ran."""
        if exit_status == EXIT_RETRY and "deleted_by" not in job:
            self.again(job)
            return
        if job.get("again") and "deleted_by" not in job:
            self.waits(job)
            return
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
            "delete": {
                job["number"]: job.get("force", False)
                for job in here
                if "deleted_by" in job or "again" in job
            },
            "walltimes": {job["number"]: job["walltime"] for job in here},
            **self.hooks.copy_for(request["hooks"]),
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
