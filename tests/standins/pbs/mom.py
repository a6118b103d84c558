"""The mom: asks the server what should run on its node, and looks after what does."""

from __future__ import annotations

import signal
import socket
import time
from typing import NoReturn

from hooks import Hooks
from jobfiles import make_folders, records
from session import signal_session
from settings import PACE, TORQUE_GRACE, Json, is_openpbs
from steps import Steps
from task import Task
from wire import ask


class Mom:
    """The jobs of this node by number: those that run, those that are over and of which the server
    must still be told, those that it knows are over."""

    def __init__(self) -> None:
        make_folders()
        self.node = socket.gethostname()
        self.hooks = Hooks()
        self.running: dict[int, Task] = {}
        self.ended: dict[int, Task] = {}
        self.leaving: list[Task] = []
        self.own = Steps(self.hooks.steps("exechost_startup", {}))
        while not self.own.are_done():
            time.sleep(PACE)
        for record in records():
            job = record["job"]
            self.running[job["number"]] = Task.lost(job, record["session"], self.hooks)

    def look(self) -> None:
        """What is due of the jobs and of the node's own hooks."""
        for number, task in list(self.running.items()):
            if task.is_over():
                self.ended[number] = task
                del self.running[number]
        self.leaving = [task for task in self.leaving if not task.is_gone()]
        if self.own.are_done():
            here = [*self.running.values(), *self.ended.values(), *self.leaving]
            told = {"job_list": [task.told() for task in here]}
            self.own = Steps(self.hooks.periodic(told) if is_openpbs() else [])

    def report(self) -> Json:
        """What the server is told."""
        return {
            "do": "poll",
            "node": self.node,
            "running": {number: task.session for number, task in self.running.items()},
            "ended": {number: task.exit for number, task in self.ended.items()},
            "hooks": self.hooks.version,
        }

    def obey(self, orders: Json) -> None:
        """What the server answers."""
        self.leaving += [task for task in self.ended.values() if not task.is_gone()]
        self.ended.clear()
        if "hooks" in orders:
            self.hooks.take(orders["hooks"])
        for job in orders["start"]:
            self.running[job["number"]] = Task.new(job, self.hooks)
        for number, walltime in orders["walltimes"].items():
            if int(number) in self.running:
                self.running[int(number)].job["walltime"] = walltime
        for number, force in orders["delete"].items():
            if int(number) in self.running:
                self.running[int(number)].delete(force)

    def leave(self) -> None:
        """OpenPBS' mom that is told to stop takes its jobs along, without a word to anybody."""
        for task in self.running.values():
            if task.session and is_openpbs():
                signal_session(task.session, signal.SIGKILL)

    def pace(self) -> float:
        """Seconds until the next look: Torque's grace is shorter than the usual pace."""
        hurry = any(task.kill_at is not None for task in self.running.values())
        return TORQUE_GRACE if hurry and not is_openpbs() else PACE


def attend() -> None:
    """The mom's loop."""
    mom = Mom()

    def told_to_stop(*_: object) -> NoReturn:
        mom.leave()
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, told_to_stop)
    while True:
        mom.look()
        try:
            orders = ask(mom.report())
        except (OSError, ValueError) as error:
            print("server:", error, flush=True)
            time.sleep(1)
            continue
        mom.obey(orders)
        time.sleep(mom.pace())
