"""qalter and qrerun: jobs that are changed, and jobs that run again under their id."""

from __future__ import annotations

import sys

from options import leave, me, number_of, options
from settings import SERVER, Json, Refusal, is_openpbs
from wants import seconds
from wire import ask


def each(tool: str, operands: list[str], request: Json) -> None:
    """Asks the server for each of the jobs; ends the tool."""
    status = 0
    for word in operands:
        number = number_of(word)
        unknown = "Unknown Job Id " if is_openpbs() else "Unknown Job Id Error "
        about = {"number": number, "user": me(), "unknown": unknown + word}
        try:
            ask({**request, **about})
        except Refusal as no:
            said = no.said if word in no.said else "{} {}.{}".format(no.said, number, SERVER)
            print("{}: {}".format(tool, said), file=sys.stderr)
            status = no.status
    raise SystemExit(status)


def qalter(words: list[str]) -> None:
    """Changes a job's walltime, or whether it may run again."""
    pairs, operands = options("qalter", "a:A:c:e:h:j:k:l:m:M:N:o:p:P:r:S:u:W:x", words)
    changes: Json = {}
    for letter, value in pairs:
        name, _, text = value.partition("=")
        if letter == "-r":
            changes["rerun"] = value
        elif letter == "-l" and name == "walltime":
            try:
                changes["walltime"] = seconds(text)
            except ValueError:
                said = "Illegal attribute or resource value Resource_List.walltime"
                leave("qalter", 166, said)
        else:
            leave("qalter", 2, "the stand-in does not know {} {}".format(letter, value))
    each("qalter", operands, {"do": "alter", "changes": changes})


def qrerun(words: list[str]) -> None:
    """Ends the run of a job and has it run again."""
    _, operands = options("qrerun", "W:f", words)
    each("qrerun", operands, {"do": "rerun"})
