"""OpenPBS' events, by the numbers that hooks know them by, in the server's own order: those of moms,
and the one of the server whose name an installation needs."""

from __future__ import annotations

EVENTS = {
    "periodic": 0x8000,
    "execjob_begin": 0x40,
    "execjob_prologue": 0x80,
    "execjob_epilogue": 0x100,
    "execjob_end": 0x200,
    "execjob_preterm": 0x400,
    "execjob_launch": 0x800,
    "exechost_periodic": 0x1000,
    "exechost_startup": 0x2000,
}
