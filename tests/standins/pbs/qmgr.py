"""OpenPBS' qmgr, as far as hooks go: `-c DIRECTIVE`, with the real one's words and statuses."""

from __future__ import annotations

import re
import socket
import sys
from pathlib import Path

from options import leave, me, options
from settings import Refusal, Json
from wire import ask

DIRECTIVE = re.compile(r"(\w+)\s+hook(?:\s+([\w-]+))?(?:\s+(.*))?", re.DOTALL)
ATTRIBUTE = re.compile(r"""\s*(\w+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^,]*))\s*(?:,|$)""")


def attributes_of(text: str) -> list[tuple[str, str]]:
    """`event = "a,b", order = 3`; ends qmgr when it is none."""
    found: list[tuple[str, str]] = []
    at = 0
    while at < len(text):
        match = ATTRIBUTE.match(text, at)
        if not match:
            leave("qmgr", 1, "Syntax error")
        values = [value for value in match.groups()[1:] if value is not None]
        found.append((match[1], values[0].strip()))
        at = match.end()
    return found


def listed(name: str, attributes: Json) -> str:
    """A hook as it is told; a long list goes on in the next line, as the real one counts."""
    lines = ["Hook " + name]
    for key, value in attributes.items():
        length = len(key) + 8 + 3
        line = "    {} = ".format(key)
        for place, word in enumerate(str(value).split(",")):
            length += len(word) + 1
            line += "," if place else ""
            line += "\n\t" if place and length >= 80 else ""
            line += word
        lines.append(line)
    return "\n".join(lines) + "\n"


def qmgr(words: list[str]) -> None:
    """One directive."""
    pairs, _ = options("qmgr", "ac:enz", words)
    directive = dict(pairs).get("-c", "")
    match = DIRECTIVE.fullmatch(directive.strip())
    if not match:
        leave("qmgr", 1, "this stand-in knows hooks alone: " + directive)
    action, name, rest = match[1], match[2] or "", match[3] or ""
    request: Json = {"do": "hook", "action": action, "name": name, "attributes": []}
    request.update(user=me(), host=socket.gethostname())
    content = re.fullmatch(r"application/x-python\s+default(?:\s+(\S+))?", rest)
    if action in ("create", "set"):
        request["attributes"] = attributes_of(rest)
    elif action in ("import", "export"):
        if not content or (action == "import" and not content[1]):
            leave("qmgr", 1, "Syntax error")
        if action == "import":
            try:
                request["text"] = Path(content[1]).read_text()
            except OSError as error:
                print("{} - {}".format(content[1], error.strerror), file=sys.stderr)
                raise SystemExit(1) from None
    elif action not in ("delete", "list"):
        leave("qmgr", 1, "Illegal command: " + action)
    try:
        reply = ask(request)
    except Refusal as no:
        print("qmgr obj={} svr=default: {}".format(name, no.said), file=sys.stderr)
        leave("qmgr", no.status, "hook error returned from server")
    if reply.get("said"):
        print(reply["said"], file=sys.stderr)
    for one, attributes in reply.get("hooks", {}).items():
        print(listed(one, attributes))
    if action == "export":
        if content and content[1]:
            Path(content[1]).write_text(reply["text"])
        else:
            print(reply["text"], end="")
