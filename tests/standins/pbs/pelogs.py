"""Torque's prologues and epilogues: which of them may run, as whom, with which words and in which
environment. One that others may write to is passed over without a word."""

from __future__ import annotations

import os
import re
import stat
import subprocess
from pathlib import Path
from typing import Callable

from settings import PROLOGALARM, Json, home

# Runs words in an environment: as root, or as the job's owner.
Run = Callable[[list[str], dict[str, str]], "subprocess.Popen[bytes] | None"]


def limit() -> float:
    """Seconds that one may take: `$prologalarm` of the mom's configuration, less ten."""
    try:
        text = (home() / "mom_priv" / "config").read_text()
    except OSError:
        text = ""
    told = re.search(r"^\$prologalarm\s+(\d+)\s*$", text, re.MULTILINE)
    alarm = int(told[1]) if told else PROLOGALARM
    return float(alarm - 10 if alarm > 10 else alarm)


def may_run(path: str, owner: int, by_users: bool = False) -> bool:
    """Whether a mom would run it: it belongs to whom it must, and nobody else may write to it."""
    try:
        found = os.stat(path)
    except OSError:
        return False
    mode = found.st_mode
    well = stat.S_ISREG(mode) and found.st_uid == owner
    well = well and mode & 0o500 == 0o500 and not mode & 0o022
    return well and (not by_users or mode & 0o005 == 0o005)


def of_mom(name: str) -> str:
    """The path of one of the admin's."""
    return str(home() / "mom_priv" / name)


def environment(job: Json, aux: str) -> dict[str, str]:
    """All that they get: neither HOME nor the job's id."""
    cpus = str(job["want"]["cpus"])
    return {
        "PATH": "/bin:/usr/bin",
        "PBS_RESOURCE_NODES": job["resources"].get("nodes", "1"),
        "PBS_NUM_NODES": "1",
        "PBS_NUM_PPN": cpus,
        "PBS_NP": cpus,
        "PBS_NODENUM": "0",
        "PBS_MSHOST": job["node"],
        "PBS_NODEFILE": aux,
        "PBS_O_WORKDIR": job["directory"],
    }


def asked(job: Json) -> str:
    """The resources as they are told: what was asked for, and the nodes once more."""
    pairs = ["=".join(pair) for pair in job["resources"].items()]
    return ",".join([*pairs, "neednodes=" + job["resources"].get("nodes", "1")])


def words_before(job: Json, group: str, script: Path) -> list[str]:
    """What a prologue is told."""
    words = [job["id"], job["owner"], group, job["name"], asked(job)]
    return [*words, job["queue"], job["account"], str(script)]


def words_after(
    job: Json, group: str, script: Path, session: int, walltime: str, exit_status: int | None
) -> list[str]:
    """What an epilogue is told; before the end nothing is known of what was used."""
    used = "cput=00:00:00,vmem=0kb,walltime={},mem=0kb,energy_used=0".format(walltime)
    words = [job["id"], job["owner"], group, job["name"], str(session), asked(job)]
    words.append("" if exit_status is None else used)
    return [*words, job["queue"], job["account"], str(exit_status or 0), str(script)]
