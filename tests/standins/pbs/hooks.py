"""OpenPBS' hooks on a node: the mom's copies, and how one is run: as root, by a Python that knows
the module `pbs`, with an alarm, in an environment of next to nothing."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable

from events import EVENTS
from settings import Json, home
from steps import Started, Step

PYTHON = Path(__file__).resolve().parent / "hookside" / "pbs_python.py"


class Hooks:
    """What the server has handed to this mom; it outlives the mom."""

    def __init__(self) -> None:
        self.folder = home() / "mom_priv" / "hooks"
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.version: str | None = None
        self.hooks: dict[str, Json] = {}
        # When a periodic hook is due, by the clock of this process: a mom that starts runs all.
        self.due: dict[str, float] = {}
        for file in self.folder.glob("*.HK"):
            self.hooks[file.stem] = json.loads(file.read_text())
            self.due[file.stem] = 0.0

    def take(self, told: Json) -> None:
        """Replaces all of them."""
        self.version = told["version"]
        now = time.monotonic()
        for name in set(self.hooks) - set(told["hooks"]):
            for suffix in ("HK", "PY"):
                (self.folder / "{}.{}".format(name, suffix)).unlink(missing_ok=True)
        for name, hook in told["hooks"].items():
            old = self.hooks.get(name)
            if old is None or old["attributes"] != hook["attributes"]:
                self.due[name] = now + float(hook["attributes"]["freq"])
            (self.folder / (name + ".HK")).write_text(json.dumps(hook))
            (self.folder / (name + ".PY")).write_text(hook["text"] or "")
        self.hooks = dict(told["hooks"])

    def of(self, event: str) -> list[str]:
        """The names of an event's hooks, in order."""
        found = []
        for name, hook in self.hooks.items():
            attributes = hook["attributes"]
            ready = attributes["enabled"] == "true" and hook["text"] is not None
            if ready and event in attributes["event"].split(","):
                found.append((int(attributes["order"]), name))
        return [name for _, name in sorted(found)]

    def steps(
        self, event: str, told: Json, judge: Callable[[int], None] = lambda status: None
    ) -> list[Step]:
        """The hooks of an event as steps; `told` is what they are told besides."""
        return [self.step(name, event, told, judge) for name in self.of(event)]

    def periodic(self, told: Json) -> list[Step]:
        """Those periodic hooks that are due."""
        now = time.monotonic()
        found = []
        for name in self.of("exechost_periodic"):
            if now >= self.due.get(name, 0.0):
                self.due[name] = now + float(self.hooks[name]["attributes"]["freq"])
                found.append(self.step(name, "exechost_periodic", told))
        return found

    def step(
        self, name: str, event: str, told: Json, judge: Callable[[int], None] = lambda status: None
    ) -> Step:
        """One hook for one event."""
        alarm = float(self.hooks[name]["attributes"]["alarm"])
        told = {**told, "type": EVENTS[event], "hook_name": name, "hook_type": "site"}
        told["requestor_host"] = socket.gethostname()
        told["freq"] = int(self.hooks[name]["attributes"]["freq"])
        words = "{} hook '{}'".format(event, name)

        def judged(status: int) -> None:
            if status:
                print(words, "ended with", status, flush=True)
            judge(status)

        return Step(words, lambda: self.start(name, words, told), alarm, judged)

    def start(self, name: str, words: str, told: Json) -> Started:
        """The hook as a process; nothing where its text is gone by now."""
        script = self.folder / (name + ".PY")
        if not script.exists():
            return None
        with tempfile.NamedTemporaryFile(
            "w", prefix="hook_", suffix=".in", dir=home() / "spool", delete=False
        ) as file:
            json.dump({**told, "words": words}, file)
        return subprocess.Popen(
            [sys.executable, "-B", str(PYTHON), file.name, str(script)],
            env={"PATH": "/bin:/usr/bin", "PBS_CONF_FILE": "/etc/pbs.conf"},
            cwd=home() / "spool",
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            umask=0o077,
        )
