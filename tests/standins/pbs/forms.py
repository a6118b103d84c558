"""Fields as they are printed: XML, folded lines, JSON."""

from __future__ import annotations

import json
import time
from xml.sax.saxutils import escape

from settings import SERVER, VERSIONS, Json


def xml(fields: Json) -> str:
    """Fields as Torque's XML, without blanks between."""
    parts = []
    for name, value in fields.items():
        inner = xml(value) if isinstance(value, dict) else escape(str(value))
        parts.append("<{0}>{1}</{0}>".format(name, inner))
    return "".join(parts)


def text(fields: Json, prefix: str = "") -> list[str]:
    """Fields as lines, folded behind a tab where they are long, as both dialects do."""
    lines = []
    for name, value in fields.items():
        if name == "Variable_List" and isinstance(value, dict):
            value = ",".join("{}={}".format(*pair) for pair in value.items())
        if isinstance(value, dict):
            lines += text(value, name + ".")
            continue
        line = "    {}{} = {}".format(prefix, name, value)
        lines.append(line[:79])
        rest = line[79:]
        while rest:
            lines.append("\t" + rest[:71])
            rest = rest[71:]
    return lines


def document(more: Json) -> str:
    """OpenPBS' JSON."""
    head: Json = {"timestamp": int(time.time()), "pbs_version": VERSIONS["openpbs"]}
    head["pbs_server"] = SERVER
    return json.dumps({**head, **more}, indent=4)
