"""The mom: asks the server what should run on its node, and looks after what does."""

from __future__ import annotations

import socket
import time

from settings import PACE, SPOOL, TORQUE_GRACE, is_openpbs
from task import Task
from wire import ask


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
