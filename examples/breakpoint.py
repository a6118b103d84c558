#!/usr/bin/env python3
"""Hits one breakpoint of a program that waits under debugpy, and reads a variable there.

What an IDE does, in the fewest words of the Debug Adapter Protocol; the standard library only.

    breakpoint.py PORT SOURCE LINE VARIABLE     prints VARIABLE = VALUE

PORT is on 127.0.0.1, SOURCE the program's path as the debugged side knows it. With `exception` for
LINE it stops where an exception is raised that nothing catches, as IDEs do unless told otherwise.
"""

import json
import socket
import sys
import time

DEADLINE = 60  # seconds, for all of it


class Adapter:
    """One connection to a debug adapter."""

    def __init__(self, port, until):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=5)
        self.until = until
        self.input = self.socket.makefile("rb")
        self.number = 0
        self.can = {}
        self.answers = {}
        self.events = []

    def send(self, command, **arguments):
        """Sends a request and returns its number: some are answered much later."""
        self.number += 1
        message = {
            "seq": self.number,
            "type": "request",
            "command": command,
            "arguments": arguments,
        }
        body = json.dumps(message).encode()
        self.socket.sendall(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        return self.number

    def read(self):
        """Reads one message and files it."""
        left = self.until - time.monotonic()
        if left <= 0:
            raise TimeoutError("the debug adapter took too long")
        self.socket.settimeout(left)
        length = None
        while True:
            line = self.input.readline(1000)
            if not line:
                raise ConnectionError("the debug adapter closed the connection")
            if not line.strip():
                break
            name, _, value = line.partition(b":")
            if name.lower() == b"content-length":
                length = int(value)
        message = json.loads(self.input.read(length))
        if message["type"] == "response":
            self.answers[message["request_seq"]] = message
        elif message["type"] == "event":
            self.events.append(message)

    def answer(self, number):
        """Waits for the answer to a request."""
        while number not in self.answers:
            self.read()
        answer = self.answers.pop(number)
        if not answer["success"]:
            raise RuntimeError("%s: %s" % (answer["command"], answer.get("message")))
        return answer.get("body") or {}

    def ask(self, command, **arguments):
        return self.answer(self.send(command, **arguments))

    def event(self, name):
        """Waits for an event and forgets those before it."""
        while True:
            while self.events:
                event = self.events.pop(0)
                if event["event"] == name:
                    return event.get("body") or {}
                if event["event"] == "terminated":
                    raise RuntimeError("the program ended before the breakpoint")
            self.read()


def connect(port, until):
    """Connects until an adapter answers: a tunnel takes connections before the program listens."""
    while True:
        try:
            adapter = Adapter(port, until)
            adapter.can = adapter.ask("initialize", adapterID="qdebug-example", clientID="qdebug-example",
                                      pathFormat="path", linesStartAt1=True, columnsStartAt1=True)
            return adapter
        except OSError as error:
            if time.monotonic() > until - 1:
                raise TimeoutError("no debug adapter at 127.0.0.1:%d: %s" % (port, error)) from error
            time.sleep(0.1)


def main(port, source, line, variable):
    adapter = connect(int(port), time.monotonic() + DEADLINE)
    # debugpy answers `attach` only after `configurationDone`.
    attached = adapter.send("attach", justMyCode=False)
    adapter.event("initialized")
    if line == "exception":
        wanted = "exception"
        filters = adapter.can["exceptionBreakpointFilters"]
        adapter.ask("setExceptionBreakpoints",
                    filters=[one["filter"] for one in filters if one.get("default")])
    else:
        wanted = "breakpoint"
        placed = adapter.ask("setBreakpoints", source={"path": source},
                             breakpoints=[{"line": int(line)}])
        if not placed["breakpoints"][0]["verified"]:
            raise RuntimeError("no breakpoint at %s:%s" % (source, line))
    adapter.ask("configurationDone")
    adapter.answer(attached)
    stopped = adapter.event("stopped")
    if stopped["reason"] != wanted:
        raise RuntimeError("stopped for another reason: %s" % stopped["reason"])
    frames = adapter.ask("stackTrace", threadId=stopped["threadId"], levels=1)
    frame = frames["stackFrames"][0]["id"]
    value = adapter.ask("evaluate", expression=variable, frameId=frame, context="watch")
    print("%s = %s" % (variable, value["result"]))
    adapter.ask("continue", threadId=stopped["threadId"])
    adapter.ask("disconnect")


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    try:
        main(*sys.argv[1:])
    except (OSError, RuntimeError, ValueError) as error:
        sys.exit("breakpoint.py: %s" % error)
