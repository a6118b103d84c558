"""The processes of a session, found and signalled as a mom does: by looking at all of them."""

from __future__ import annotations

import os
from pathlib import Path


def session_of(leader: int) -> list[int]:
    """The living processes of a session."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            text = Path("/proc", entry, "stat").read_text(errors="replace")
        except OSError:
            continue
        # The name, in brackets, may hold anything.
        fields = text.rpartition(")")[2].split()
        if fields[0] not in "ZX" and int(fields[3]) == leader:
            found.append(int(entry))
    return found


def signal_session(leader: int, number: int) -> None:
    """A signal for every process of a session."""
    for pid in session_of(leader):
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            pass
