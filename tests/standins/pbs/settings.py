"""What the stand-in is told and what it takes for granted: paths, nodes, times, statuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

Json = dict[str, Any]

SETTINGS = Path("/etc/pbs-standin")
# Where server and moms keep their things: PBS_HOME and Torque's home.
HOMES = {"openpbs": Path("/var/spool/pbs"), "torque": Path("/var/spool/torque")}
SERVER = "login"
PORT = 15001
QUEUE = "gpu"
# What the nodes have.
NODES: dict[str, Json] = {
    "node1": {"cpus": 8, "memory": 16 << 30, "gpus": 2, "model": "V100"},
    "node2": {"cpus": 8, "memory": 16 << 30, "gpus": 2, "model": "P100"},
}
VERSIONS = {"openpbs": "23.06.06", "torque": "6.1.3.h5"}
# Seconds: between two questions of a mom, and after which silence is a node that is down.
PACE = 0.2
DOWN_AFTER = 15.0
# Seconds from SIGTERM to SIGKILL.
OPENPBS_GRACE = 10.0
TORQUE_GRACE = 0.02
TORQUE_WALLTIME_GRACE = 2.0
# Seconds that Torque tells of a job that is over.
KEEP_COMPLETED = 300
# Seconds of Torque's prologues and epilogues, less the ten that a mom keeps for itself.
PROLOGALARM = 300
# Seconds from OpenPBS' execjob_epilogue to its execjob_end.
END_DELAY = 1.1
EXIT_WALLTIME = {"openpbs": -29, "torque": -11}
# Of jobs that a mom has lost by its own end.
EXIT_LOST = {"openpbs": -4, "torque": 0}
# Of jobs that must not run, and of those that shall be tried again.
EXIT_REFUSED = -2
EXIT_RETRY = -3
# What both say of a job that is not to run again, modulo 256 as exit statuses are.
PBSE_NORERUN = 15038 & 0xFF
# How often OpenPBS tries a job whose hooks refuse it before it holds it.
TRIES = 21


class Refusal(Exception):
    """A no: the exit status and the words after the tool's name."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status
        self.said = said


def dialect() -> str:
    """The dialect of this host."""
    name = SETTINGS.read_text().strip()
    if name not in VERSIONS:
        raise SystemExit("{}: no dialect: {}".format(SETTINGS, name))
    return name


def is_openpbs() -> bool:
    """Whether this host speaks OpenPBS' dialect."""
    return dialect() == "openpbs"


def home() -> Path:
    """Where server and mom of this host keep their things."""
    return HOMES[dialect()]
