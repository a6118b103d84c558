"""The server's books of OpenPBS' hooks: their attributes and texts, as qmgr changes them. The moms
get copies; nothing runs here.

The real server takes the `freq` of a hook that is enabled and has a text as an order to run it
itself, whatever its event, and is lost when such a hook is deleted. So is this one, at once."""

from __future__ import annotations

import hashlib
import json
import os
from typing import Callable

from events import EVENTS
from settings import SERVER, Json, Refusal, home

# The status of qmgr when the server refuses a change, and when it has nothing to list.
REFUSED = 32
NOT_LISTED = 1
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
    asked = [word.strip() for word in value.split(",") if word.strip()]
    for word in asked:
        if word not in EVENTS:
            said = "invalid argument ({}) to event. Should be one or more of: {} or \"\" for no event"
            raise Refusal(REFUSED, said.format(word, ",".join(EVENTS)))
    return ",".join(event for event in EVENTS if event in asked) or '""'


def seconds(name: str) -> Callable[[str], str]:
    """A number of seconds."""

    def read(value: str) -> str:
        if not value.isdigit() or int(value) == 0:
            said = "set_hook_{0}: {0} value '{1}' of a hook must be > 0"
            raise Refusal(REFUSED, said.format(name, value))
        return value

    return read


def order(value: str) -> str:
    """A place in the order of a site's hooks."""
    if not value.isdigit() or not 1 <= int(value) <= 1000:
        said = "order given ({}) is outside the acceptable range of [1, 1000] for type 'site'."
        raise Refusal(REFUSED, said.format(value))
    return value


def truth(value: str) -> str:
    """`true` or `false`, of the words for them."""
    words = {**dict.fromkeys("ty1", "true"), **dict.fromkeys("fn0", "false")}
    words.update(true="true", false="false")
    if value.lower() not in words:
        said = "unexpected value '{}', must be (not case sensitive) true|t|y|1|false|f|n|0"
        raise Refusal(REFUSED, said.format(value))
    return words[value.lower()]


SETTERS: dict[str, Callable[[str], str]] = {
    "event": events,
    "enabled": truth,
    "debug": truth,
    "alarm": seconds("alarm"),
    "freq": seconds("freq"),
    "order": order,
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
            status = NOT_LISTED if request["action"] == "list" else REFUSED
            raise Refusal(status, said.format(**request) + SERVER)
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
        if self.get(name).get("ordered"):
            print("deleted hook", name, "is still to be run by the server", flush=True)
            os._exit(1)
        del self.hooks[name]
        return {}

    def set(self, name: str, request: Json) -> Json:
        """Attributes: all or none."""
        hook = self.get(name)
        attributes = dict(hook["attributes"])
        ordered = hook.get("ordered", False)
        for key, value in request["attributes"]:
            if key not in SETTERS:
                raise Refusal(REFUSED, "Undefined attribute  - " + key)
            if key == "freq" and "periodic" not in attributes["event"]:
                said = "set_hook_freq: Can't set hook freq value: hook event must contain at least"
                raise Refusal(REFUSED, said + "'exechost_periodic' or 'periodic'")
            attributes[key] = SETTERS[key](value)
            if key == "enabled" and "periodic" in attributes["event"].split(","):
                ordered = attributes["enabled"] == "true"
            if key == "freq" and attributes["enabled"] == "true" and hook["text"] is not None:
                ordered = True
        hook.update(attributes=attributes, ordered=ordered)
        return {}

    def list(self, name: str, _: Json) -> Json:
        """The attributes, of one or of all."""
        if name and name not in self.hooks:
            raise Refusal(NOT_LISTED, "hook not found")
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
        """The text, empty where there is none."""
        return {"text": self.get(name)["text"] or ""}
