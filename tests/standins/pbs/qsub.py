"""qsub: the script, its `#PBS` lines, the options, and what they make of a job."""

from __future__ import annotations

import os
import shlex
import socket
import sys
from pathlib import Path

from options import leave, me, options
from settings import QUEUE, Refusal, dialect, is_openpbs
from wants import seconds
from wire import ask

QSUB = {
    "openpbs": "a:A:c:C:e:fhj:k:l:m:M:N:o:p:P:q:r:R:S:u:v:VW:z",
    "torque": "a:A:b:c:C:d:D:e:fhj:k:K:l:m:M:N:o:p:P:q:r:S:T:u:v:VwW:xXz",
}


def directives(script: str) -> list[str]:
    """Options on the `#PBS` lines before the first command."""
    words: list[str] = []
    for line in script.splitlines():
        if line.startswith("#PBS "):
            words += shlex.split(line[5:])
        elif line.strip() and not line.startswith(("#", ":")):
            break
    return words


def read_script(operands: list[str]) -> tuple[str, str]:
    """The script and the name it gives its job."""
    if not operands or operands[0] == "-":
        return sys.stdin.read(), "STDIN"
    path = Path(operands[0])
    try:
        return path.read_text(errors="surrogateescape"), path.name
    except OSError as error:
        if is_openpbs():
            leave("qsub", 1, "script file:: " + str(error.strerror))
        said = "script file '{}' cannot be loaded - {}".format(path, error.strerror)
        leave("qsub", 1, said)


def exported(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """What `-v` and `-V` hand to the job."""
    env: dict[str, str] = {}
    for letter, value in pairs:
        if letter == "-V":
            env.update(os.environ)
        if letter == "-v":
            for word in value.split(","):
                name, equals, text = word.partition("=")
                env[name] = text if equals else os.environ.get(name, "")
    return env


def resources_of(pairs: list[tuple[str, str]]) -> dict[str, str]:
    """The values of every `-l`; of two of a name the first rules, as in a command before `#PBS`."""
    found: dict[str, str] = {}
    for letter, value in pairs:
        if letter == "-l":
            for word in value.split(","):
                name, _, text = word.partition("=")
                found.setdefault(name, text)
    return found


def qsub(words: list[str]) -> None:
    """Submits a job and prints its id."""
    letters = QSUB[dialect()]
    pairs, operands = options("qsub", letters, words)
    script, name = read_script(operands)
    all_pairs = pairs + options("qsub", letters, directives(script))[0]
    # The command's own rule over those of the script.
    given = dict(reversed(all_pairs))
    name = given.get("-N", name)
    resources = resources_of(all_pairs)
    try:
        walltime = seconds(resources["walltime"]) if "walltime" in resources else None
    except ValueError:
        leave("qsub", 166, "Illegal attribute or resource value Resource_List.walltime")
    output = Path(os.getcwd(), given.get("-o", name + ".o").rpartition(":")[2])
    if given.get("-o", "").startswith("/"):
        output = Path(given["-o"])
    host = socket.gethostname()
    job = {
        "name": name,
        "owner": me(),
        "host": host,
        "queue": given.get("-q", QUEUE),
        "account": given.get("-A", ""),
        "project": given.get("-P", "_pbs_project_default"),
        "hold": "-h" in given,
        "shell": given.get("-S", ""),
        "keep": given.get("-k", "n"),
        "join": given.get("-j", "n"),
        "rerun": given.get("-r", "y"),
        "kill_delay": given.get("-K", ""),
        "output": "{}:{}".format(host, output),
        "resources": resources,
        "walltime": walltime,
        "environment": exported(all_pairs),
        "arguments": " ".join(words),
        "directory": os.getcwd(),
        "script": script,
    }
    try:
        print(ask({"do": "submit", "job": job})["id"])
    except Refusal as no:
        said = no.said if is_openpbs() else "submit error ({})".format(no.said)
        leave("qsub", no.status, said)
