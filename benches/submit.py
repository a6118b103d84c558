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


def copied(name: str, template: Path, ended: bool) -> Path:
    """Another session of the template's job; its job was cancelled long ago where it has ended."""
    copy = SESSIONS / name
    copy.mkdir(mode=0o700)
    token = secrets.token_hex(16)
    data: dict[str, object] = {}
    for file in ("request.json", "job.json"):
        data = json.loads((template / file).read_text())
        data.update(token=token)
        if "name" in data:
            data["name"] = name
        (copy / file).write_text(json.dumps(data))
    if ended:
        end = {key: data[key] for key in ("format", "written_by", "token") if key in data}
        end.update(detail="the job was cancelled", walltime=False, at=data["submitted"])
        (copy / "end.json").write_text(json.dumps(end))
    return copy


def lists(count: int) -> None:
    """A thousand sessions of one job that waits, then a thousand more that have ended."""
    told = json.loads(run(*SUBMIT, "--name", "bench-list", "--", HELD))
    template = SESSIONS / "bench-list"
    copies = [copied("bench-list-{}".format(i), template, False) for i in range(COUNT - 1)]
    asked = ("squeue", "-h", "-t", "all", "-j", told["job"])
    listed = lambda: timed(lambda: run("qdebug", "list", "--json"))
    bare = lambda: timed(lambda: run(*asked))
    waiting = measure(listed, bare, count)
    copies += [copied("bench-ended-{}".format(i), template, True) for i in range(COUNT)]
    both = measure(listed, bare, count)
    for copy in copies:
        shutil.rmtree(copy)
    run("qdebug", "stop", "bench-list")
    tell_figure("list of {} sessions, more than squeue".format(COUNT), extra(waiting), "ms", 100)
    tell_figure("the same beside {} that ended".format(COUNT), extra(both), "ms", 200)


def main() -> None:
    """Measures both."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    submits(count)
    lists(count)


if __name__ == "__main__":
    main()
