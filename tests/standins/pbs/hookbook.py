"""The server's books of OpenPBS' hooks: their attributes and texts, as qmgr changes them. The moms
get copies; nothing runs here."""

from __future__ import annotations

import hashlib
import json
from typing import Callable

from events import EVENTS
from settings import SERVER, Json, Refusal, home

# The status of qmgr when the server refuses.
REFUSED = 1
# What a new hook is, in the order in which it is told.
NEW: Json = {
    "type": "site",
    "enabled": "true",
    "event": '""',
    "user": "pbsadmin",
    "alarm": "30",
    "freq": "120",
    "order": "1",
    "debug": "false",
    "fail_action": "none",
}


def events(value: str) -> str:
    """A list of events in the server's order."""
    asked = {word.strip() for word in value.split(",")}
    for word in asked - set(EVENTS):
        raise Refusal(REFUSED, "event: invalid event: " + word)
    return ",".join(event for event in EVENTS if event in asked)


def number(least: int, most: int) -> Callable[[str], str]:
    """A number between two."""

    def read(value: str) -> str:
        if not value.isdigit() or not least <= int(value) <= most:
            raise Refusal(REFUSED, "value must be between {} and {}".format(least, most))
        return value

    return read


def truth(value: str) -> str:
    """`true` or `false`, of the words for them."""
    words = {"true": "true", "t": "true", "y": "true", "1": "true"}
    words.update({"false": "false", "f": "false", "n": "false", "0": "false"})
    if value.lower() not in words:
        raise Refusal(REFUSED, "value must be true or false")
    return words[value.lower()]


SETTERS: dict[str, Callable[[str], str]] = {
    "event": events,
    "enabled": truth,
    "debug": truth,
    "alarm": number(1, 1 << 31),
    "freq": number(1, 1 << 31),
    "order": number(1, 1000),
}


class HookBook:
    """The hooks by name."""

    def __init__(self) -> None:
        self.file = home() / "server_priv" / "hooks.json"
        self.hooks: dict[str, Json] = {}
        if self.file.exists():
            self.hooks = json.loads(self.file.read_text())

    def version(self) -> str:
        """A word that changes with them."""
        return hashlib.sha256(json.dumps(self.hooks).encode()).hexdigest()

    def copy_for(self, version: str | None) -> Json:
        """What a mom must be told that has this version."""
        mine = self.version()
        return {} if version == mine else {"hooks": {"version": mine, "hooks": self.hooks}}

    def change(self, request: Json) -> Json:
        """One directive of qmgr."""
        if request["user"] != "root":
            said = "{user}@{host} is unauthorized to access hooks data from server "
            raise Refusal(REFUSED, said.format(**request) + SERVER)
        actions: dict[str, Callable[[str, Json], Json]] = {
            "create": self.create,
            "delete": self.delete,
            "set": self.set,
            "list": self.list,
            "import": self.import_,
            "export": self.export,
        }
        reply = actions[request["action"]](request["name"], request)
        new = self.file.with_suffix(".new")
        new.write_text(json.dumps(self.hooks))
        new.rename(self.file)
        return reply

    def get(self, name: str) -> Json:
        """A hook that is there."""
        if name not in self.hooks:
            raise Refusal(REFUSED, name + " does not exist!")
        return self.hooks[name]

    def create(self, name: str, request: Json) -> Json:
        """A new one, without a text."""
        if name in self.hooks:
            said = "hook name '{}' already registered, try another name"
            raise Refusal(REFUSED, said.format(name))
        self.hooks[name] = {"attributes": dict(NEW), "text": None}
        return self.set(name, request)

    def delete(self, name: str, _: Json) -> Json:
        """It goes, from the moms too."""
        self.get(name)
        del self.hooks[name]
        return {}

    def set(self, name: str, request: Json) -> Json:
        """Attributes: all or none."""
        attributes = dict(self.get(name)["attributes"])
        for key, value in request["attributes"]:
            if key not in SETTERS:
                raise Refusal(REFUSED, "unexpected attribute: " + key)
            if key == "freq" and "periodic" not in attributes["event"]:
                raise Refusal(REFUSED, "Can't set hook freq: event is not periodic")
            attributes[key] = SETTERS[key](value)
        self.hooks[name]["attributes"] = attributes
        return {}

    def list(self, name: str, _: Json) -> Json:
        """The attributes, of one or of all."""
        if name and name not in self.hooks:
            raise Refusal(REFUSED, "hook not found")
        told: dict[str, Json] = {}
        for one in [name] if name else self.hooks:
            told[one] = dict(self.hooks[one]["attributes"])
            if "periodic" not in told[one]["event"]:
                del told[one]["freq"]
        return {"hooks": told}

    def import_(self, name: str, request: Json) -> Json:
        """The text; says so when there was one."""
        hook = self.get(name)
        said = "hook '{}' contents overwritten".format(name) if hook["text"] is not None else ""
        hook["text"] = request["text"]
        return {"said": said}

    def export(self, name: str, _: Json) -> Json:
        """The text."""
        hook = self.get(name)
        if hook["text"] is None:
            raise Refusal(REFUSED, "no hook content for " + name)
        return {"text": hook["text"]}
