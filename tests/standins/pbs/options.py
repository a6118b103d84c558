"""What the tools have in common: their options, their words of refusal, ids of jobs."""

from __future__ import annotations

import getopt
import os
import pwd
import re
import sys
from typing import NoReturn

from settings import SERVER


def me() -> str:
    """The user's name."""
    return pwd.getpwuid(os.getuid()).pw_name


def leave(tool: str, status: int, said: str) -> NoReturn:
    """Ends a tool with words on stderr."""
    print("{}: {}".format(tool, said), file=sys.stderr)
    raise SystemExit(status)


def options(tool: str, letters: str, words: list[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """Options and operands; ends the tool when there is one it does not know."""
    try:
        return getopt.getopt(words, letters)
    except getopt.GetoptError as error:
        said = "invalid option -- '{}'\nusage: {} [options]".format(error.opt, tool)
        leave(tool, 2, said)


def number_of(word: str) -> int | None:
    """The number of `12` or `12.login`."""
    found = re.fullmatch(r"(\d+)(\.{})?".format(SERVER), word)
    return int(found[1]) if found else None
