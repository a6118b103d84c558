#!/usr/bin/env python3
"""Stand-ins of OpenPBS and Torque that really run jobs, for machines without either.

One program under several names: `qsub`, `qstat`, `qdel`, `qselect`, `qalter`, `qrerun`, `pbsnodes`
and, on OpenPBS, `qmgr` are links to this file; with the word `server` it runs on the login host, with `mom` on each
node. /etc/pbs-standin holds the dialect, openpbs or torque. Words, formats and exit statuses are
those recorded on OpenPBS 23.06 and Torque 6.1.3 (tests/fixtures), as far as qdebug and its tests
use them.

Clients and moms send the server one line of JSON and get one back. Nobody proves who he is: the
server believes the name that comes with a request, which is good enough for a throw-away cluster
and for nothing else. The moms ask for work; each answer holds all that should run on the node, so
that nothing is lost when a message is.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Callable

from alter import qalter, qrerun
from mom import attend
from options import leave
from qdel import qdel, qselect
from qmgr import qmgr
from qstat import pbsnodes, qstat
from qsub import qsub
from server import serve
from settings import SERVER, VERSIONS, dialect, is_openpbs

TOOLS: dict[str, Callable[[list[str]], None]] = {
    "qsub": qsub,
    "qstat": qstat,
    "qdel": qdel,
    "qselect": qselect,
    "qalter": qalter,
    "qrerun": qrerun,
    "qmgr": qmgr,
    "pbsnodes": pbsnodes,
}


def tool(name: str, words: list[str]) -> None:
    """Runs a tool of users."""
    if words[:1] == ["--version"]:
        form = "pbs_version = {}" if is_openpbs() else "Version: {}\nCommit: "
        print(form.format(VERSIONS[dialect()]))
        return
    try:
        TOOLS[name](words)
    except OSError as error:
        where = "{} (errno={})".format(SERVER, 15010 if is_openpbs() else error.errno)
        said = "cannot connect to server {}".format(where)
        away = (255 if name == "qstat" else 162) if is_openpbs() else 111
        leave(name, away, "{}\n{}: {}".format(error.strerror, name, said))


def main() -> None:
    """One program, many names."""
    name = Path(sys.argv[0]).name
    if name in TOOLS:
        tool(name, sys.argv[1:])
    elif sys.argv[1:] == ["server"]:
        serve()
    elif sys.argv[1:] == ["mom"]:
        attend()
    else:
        raise SystemExit("usage: pbs server|mom")


if __name__ == "__main__":
    main()
