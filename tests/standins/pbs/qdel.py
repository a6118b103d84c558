"""qdel and qselect: jobs that go, and jobs that are looked for."""

from __future__ import annotations

import socket
import sys

from jobs import letter_of
from options import me, number_of, options
from settings import SERVER, Refusal, is_openpbs
from wire import ask


def qdel(words: list[str]) -> None:
    """Deletes jobs."""
    pairs, operands = options("qdel", "W:xm:pt:cab:", words)
    status = 0
    for word in operands:
        number = number_of(word)
        full = "{}.{}".format(number, SERVER)
        if number is None:
            print("qdel: illegally formed job identifier: " + word, file=sys.stderr)
            status = 1
            continue
        request = {"do": "delete", "number": number, "user": me(), "host": socket.gethostname()}
        if is_openpbs():
            request["force"] = ("-W", "force") in pairs
            request["unknown"] = "Unknown Job Id " + full
            request["unauthorized"] = "Unauthorized Request  " + full
            request["over"] = [35, "Job has finished " + full]
        else:
            request["force"] = ("-p", "") in pairs
            request["unknown"] = "nonexistent job id: " + word
            no = "Unauthorized Request  MSG=operation not permitted "
            request["unauthorized"] = no + full
            why = "Request invalid for state of job MSG=invalid state for job - COMPLETE "
            request["over"] = [170, why + full]
        try:
            ask(request)
        except Refusal as no_:
            print("qdel: " + no_.said, file=sys.stderr)
            status = no_.status
    raise SystemExit(status)


def qselect(words: list[str]) -> None:
    """Prints the ids of jobs of a user, a name, some states."""
    pairs, _ = options("qselect", "a:A:c:h:l:N:p:q:r:s:u:x", words)
    given = dict(pairs)
    for job in ask({"do": "stat"})["jobs"]:
        if is_openpbs() and job["state"] == "F" and "-x" not in given:
            continue
        fits = given.get("-N", job["name"]) == job["name"]
        fits = fits and job["owner"] in given.get("-u", job["owner"]).split(",")
        if fits and letter_of(job) in given.get("-s", letter_of(job)):
            print(job["id"])
