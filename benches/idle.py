#!/usr/bin/env python3
"""What a node half costs while nothing happens: its resident memory, and how often it wakes up.

Run on a node as its user, without NVML's library in the process (`-g none`).

    idle.py [SECONDS]
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


def main() -> None:
    """Measures one that is ready."""
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    half = NodeHalf()
    process, folder, _ = half.start()
    time.sleep(SETTLE)
    before = wake_ups(process.pid)
    time.sleep(seconds)
    woken = (wake_ups(process.pid) - before) / seconds
    memory = resident(process.pid)
    half.end(process, folder)
    tell_figure("idle node half, resident", memory, "MB", 12)
    # Each look at the session lists a folder, which may itself sleep once on a shared file system.
    tell_figure("idle node half, wake-ups", woken, "a second", 1.2)


if __name__ == "__main__":
    main()
