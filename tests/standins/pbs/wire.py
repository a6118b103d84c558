"""How clients and moms talk to the server: one line of JSON each way, on one connection."""

from __future__ import annotations

import json
import socket

from settings import PORT, SERVER, Json, Refusal


def ask(request: Json) -> Json:
    """Sends the server a request; raises Refusal for a no, OSError when it is away."""
    with socket.create_connection((SERVER, PORT), timeout=20) as connection:
        stream = connection.makefile("rwb")
        stream.write(json.dumps(request).encode() + b"\n")
        stream.flush()
        reply: Json = json.loads(stream.readline())
    if "refused" in reply:
        raise Refusal(*reply["refused"])
    return reply
