#!/usr/bin/env python3
"""submit against a bare sbatch, and `list` with a thousand sessions.

Run on the login node as a user, on a cluster with Slurm.

    submit.py [PAIRS]
"""

from __future__ import annotations

import json
import secrets
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

from pairs import measure, tell_figure, timed

SESSIONS = Path.home() / ".qdebug" / "sessions"
COUNT = 1000
# They wait for good.
HELD = "--begin=now+5hours"
SUBMIT = ("qdebug", "submit", "--json", "-g", "none", "-w", "1h", "-i", "qdebug/busybox")


def run(*words: str) -> str:
    """Runs a program to its end; raises when it fails."""
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def extra(pairs: list[tuple[float, float]]) -> float:
    """By how many milliseconds ours takes longer, at the median."""
    ours, theirs = (statistics.median(side) * 1000 for side in zip(*pairs))
    return ours - theirs


def submits(count: int) -> None:
    """One job each, removed at once outside of the time that counts."""
    script = SESSIONS.parent / "bench-job.sh"
    script.write_text("#!/bin/sh\nexec true\n")

    def ours() -> float:
        told: list[str] = []
        took = timed(lambda: told.append(run(*SUBMIT, "--", HELD)))
        run("qdebug", "stop", json.loads(told[0])["name"])
        return took

    def theirs() -> float:
        told: list[str] = []
        words = ("sbatch", "--parsable", "--no-requeue", "-t", "60", HELD, str(script))
        took = timed(lambda: told.append(run(*words)))
        run("scancel", told[0].strip())
        return took

    tell_figure("submit, more than sbatch", extra(measure(ours, theirs, count)), "ms", 50)
    script.unlink()


def lists(count: int) -> None:
    """A thousand sessions of one job that waits."""
    told = json.loads(run(*SUBMIT, "--name", "bench-list", "--", HELD))
    template = SESSIONS / "bench-list"
    copies = []
    for number in range(COUNT - 1):
        copy = SESSIONS / "bench-list-{}".format(number)
        token = secrets.token_hex(16)
        copy.mkdir(mode=0o700)
        for name in ("request.json", "job.json"):
            data = json.loads((template / name).read_text())
            data.update(token=token)
            if "name" in data:
                data["name"] = copy.name
            (copy / name).write_text(json.dumps(data))
        copies.append(copy)
    asked = ("squeue", "-h", "-t", "all", "-j", told["job"])
    listed = lambda: timed(lambda: run("qdebug", "list", "--json"))
    pairs = measure(listed, lambda: timed(lambda: run(*asked)), count)
    for copy in copies:
        shutil.rmtree(copy)
    run("qdebug", "stop", "bench-list")
    tell_figure("list of {} sessions, more than squeue".format(COUNT), extra(pairs), "ms", 100)


def main() -> None:
    """Measures both."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    submits(count)
    lists(count)


if __name__ == "__main__":
    main()
