#!/usr/bin/env python3
"""A debug server as PyCharm has it: waits for one program under pydevd, stops it at a breakpoint,
reads a variable there and lets it go on to its end. The standard library only.

    pydevd_ide.py PORT SOURCE LINE VARIABLE     prints `listens`, then VARIABLE = VALUE

pydevd's messages are lines of a command, a number and a payload, separated by tabs; the numbers are
those of its _pydevd_bundle/pydevd_comm_constants.py.
"""

import re
import socket
import sys
from urllib.parse import unquote

RUN, SUSPENDED, RESUME, SET_BREAK, EVALUATE, VERSION, ERROR = 101, 105, 106, 111, 113, 501, 901
LIMIT = 90  # seconds that anything may take


class Program:
    """The program that has dialled."""

    def __init__(self, connection):
        connection.settimeout(LIMIT)
        self.connection = connection
        self.lines = connection.makefile("r", encoding="utf-8", newline="\n")
        self.number = -1

    def send(self, command, *fields):
        self.number += 2  # the program's own are even
        line = "\t".join([str(command), str(self.number), *map(str, fields)])
        self.connection.sendall(line.encode() + b"\n")

    def hear(self, wanted):
        """The payload of the next message of this kind."""
        for line in self.lines:
            command, _, payload = line.rstrip("\n").split("\t", 2)
            if int(command) == wanted:
                return unquote(payload)
            if int(command) == ERROR:
                raise RuntimeError(unquote(payload))
        raise RuntimeError("the program is gone, waited for %d" % wanted)


def attribute(name, xml):
    return re.search(r'\b%s="([^"]*)"' % name, xml).group(1)


def main(port, source, line, variable):
    listener = socket.create_server(("127.0.0.1", int(port)))
    listener.settimeout(LIMIT)
    print("listens", flush=True)
    program = Program(listener.accept()[0])
    program.send(VERSION, "1.1", "UNIX", "LINE")
    program.hear(VERSION)
    program.send(SET_BREAK, "python-line", source, line, "None", "NONE", "None", "None")
    program.send(RUN, "")
    stopped = program.hear(SUSPENDED)
    thread, frame = re.search("<thread .*?>", stopped).group(), re.search("<frame .*?>", stopped).group()
    if attribute("stop_reason", thread) != str(SET_BREAK) or attribute("line", frame) != line:
        raise RuntimeError("it stopped elsewhere: %s" % stopped)
    thread = attribute("id", thread)
    program.send(EVALUATE, thread, attribute("id", frame), "FRAME", variable, "1")
    value = unquote(attribute("value", program.hear(EVALUATE)))
    print("%s = %s" % (variable, value.split(": ", 1)[-1]), flush=True)
    program.send(RESUME, thread)
    for _ in program.lines:
        pass


if __name__ == "__main__":
    main(*sys.argv[1:])
