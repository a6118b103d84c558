#!/usr/bin/env python3
"""What a half costs while nothing happens: its resident memory, and how often it wakes up.

Run as its user, on a node, without NVML's library in the process (`-g none`), or on a laptop
where a session is connected.

    idle.py node [SECONDS]
    idle.py laptop SESSION [SECONDS]
"""

from __future__ import annotations

import re
import sys
import time
from pathlib import Path

from node_half import NodeHalf
from pairs import tell_figure

# Threads of the launch end when they had nothing to do for ten seconds.
SETTLE = 15.0

# How long one is watched.
SECONDS = 60.0


def resident(pid: int) -> float:
    """Resident memory in MB, as the kernel counts it."""
    status = Path("/proc", str(pid), "status").read_text()
    found = re.search(r"^VmRSS:\s+(\d+) kB", status, re.M)
    if not found:
        raise RuntimeError("process {} tells no VmRSS".format(pid))
    return int(found[1]) / 1000


def wake_ups(pid: int) -> int:
    """How often its threads have gone to sleep of themselves, all together."""
    total = 0
    for task in Path("/proc", str(pid), "task").iterdir():
        found = re.search(r"^voluntary_ctxt_switches:\s+(\d+)", (task / "status").read_text(), re.M)
        total += int(found[1]) if found else 0
    return total


def connected(session: str) -> int:
    """The process id of the `connect` that runs for a session."""
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            words = (folder / "cmdline").read_bytes().decode().split("\0")
        except OSError:
            # Somebody else's, or gone.
            continue
        if Path(words[0]).name == "qdebug" and words[1:3] == ["connect", session]:
            return int(folder.name)
    raise SystemExit("no session {} is connected here".format(session))


def watch(which: str, pid: int, seconds: float) -> None:
    """Tells what a process that has settled costs."""
    time.sleep(SETTLE)
    before = wake_ups(pid)
    time.sleep(seconds)
    woken = (wake_ups(pid) - before) / seconds
    tell_figure("idle {} half, resident".format(which), resident(pid), "MB", 12)
    # Each look at the session lists a folder, which may itself sleep once on a shared file system.
    tell_figure("idle {} half, wake-ups".format(which), woken, "a second", 1.2)


def main() -> None:
    """Measures one that is ready."""
    which, *words = sys.argv[1:]
    if which == "laptop":
        watch(which, connected(words.pop(0)), float(words[0]) if words else SECONDS)
        return
    half = NodeHalf()
    process, folder, _ = half.start()
    watch(which, process.pid, float(words[0]) if words else SECONDS)
    half.end(process, folder)


if __name__ == "__main__":
    main()
