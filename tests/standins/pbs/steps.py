"""Programs that a mom runs one after the other beside its loop: hooks, prologues, epilogues."""

from __future__ import annotations

import signal
import subprocess
import time
from dataclasses import dataclass
from typing import Callable, Optional

from session import signal_session

Started = Optional["subprocess.Popen[bytes]"]


@dataclass
class Step:
    """One of them, which leads a session of its own and may not be there when its turn comes."""

    name: str
    start: Callable[[], Started]
    # Seconds.
    limit: float
    # What follows from its exit status.
    judge: Callable[[int], None] = lambda status: None


class Steps:
    """Some of them, in order."""

    def __init__(self, steps: list[Step]) -> None:
        self.waiting = list(steps)
        self.step: Step | None = None
        self.process: Started = None
        self.until = 0.0

    def drop(self) -> None:
        """Those that have not begun will not."""
        self.waiting.clear()

    def are_done(self) -> bool:
        """A look: starts what is next; says whether nothing is left."""
        while True:
            if self.process is None or self.step is None:
                if not self.waiting:
                    return True
                self.step = self.waiting.pop(0)
                self.process = self.step.start()
                self.until = time.monotonic() + self.step.limit
                if self.process is None:
                    continue
            status = self.process.poll()
            if status is None:
                if time.monotonic() > self.until:
                    print("alarm call while running", self.step.name, flush=True)
                    signal_session(self.process.pid, signal.SIGKILL)
                    self.until = float("inf")
                return False
            self.process = None
            self.step.judge(status)
