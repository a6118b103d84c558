"""What the stand-in is told and what it takes for granted: paths, nodes, times, statuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

Json = dict[str, Any]

SETTINGS = Path("/etc/pbs-standin")
SPOOL = Path("/var/spool/pbs-standin")
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
# Seconds that Torque tells of a job that is over, and that an epilogue may take.
KEEP_COMPLETED = 300
EPILOGUE_LIMIT = 290
EXIT_WALLTIME = {"openpbs": -29, "torque": -11}
# Of jobs that a mom has lost by its own end.
EXIT_LOST = {"openpbs": -4, "torque": 0}


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
