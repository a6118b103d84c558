"""The module `pbs` of OpenPBS' hooks, as far as hooks for moms need it: the event, the job or the
jobs, the mom's log. What it does not know it does not have."""

from __future__ import annotations

import sys
from typing import Any, NoReturn

EXECJOB_BEGIN = 0x40
EXECJOB_PROLOGUE = 0x80
EXECJOB_EPILOGUE = 0x100
EXECJOB_END = 0x200
EXECJOB_PRETERM = 0x400
EXECJOB_LAUNCH = 0x800
EXECHOST_PERIODIC = 0x1000
EXECHOST_STARTUP = 0x2000

LOG_ERROR = 3
LOG_WARNING = 4
LOG_DEBUG = 7


class EventIncompatibleError(AttributeError):
    """The event has nothing of that name."""


class job:
    """A job; its attributes are texts, and None where they are not set."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.__dict__.update(told)


class _Event:
    """What happened."""

    def __init__(self, told: dict[str, Any]) -> None:
        self.type: int = told["type"]
        self.hook_name: str = told["hook_name"]
        self.hook_type: str = told["hook_type"]
        self.freq: int = told["freq"]
        self.requestor = "pbs_mom"
        self.requestor_host: str = told["requestor_host"]
        if "job" in told:
            self.job = job(told["job"])
        if "job_list" in told:
            self.job_list = {one["id"]: job(one) for one in told["job_list"]}

    def __getattr__(self, name: str) -> NoReturn:
        raise EventIncompatibleError('"{}" not found in self._param'.format(name))

    @staticmethod
    def accept(ecode: int = 0) -> NoReturn:
        """Ends the hook: all is well."""
        raise SystemExit(ecode)

    @staticmethod
    def reject(emsg: str = "", ecode: int = 255) -> NoReturn:
        """Ends the hook: what the event is about shall not be."""
        print("request rejected:", emsg, file=sys.stderr)
        raise SystemExit(ecode)


_told: dict[str, Any] = {}


def event() -> _Event:
    """The event that this process runs for."""
    return _Event(_told)


def logmsg(level: int, message: str) -> None:
    """A line of the mom's log."""
    print("{};{};{}".format(level, _told["hook_name"], message), file=sys.stderr, flush=True)


def logjobmsg(jobid: str, message: str) -> None:
    """The same, of a job."""
    logmsg(LOG_DEBUG, "{};{}".format(jobid, message))


def get_local_nodename() -> str:
    """This node's name."""
    return str(_told["requestor_host"])
