"""What a job asks for with `-l`, in both dialects, and what of it a node lacks."""

from __future__ import annotations

import re
from typing import Any, Callable

from settings import NODES, Json, Refusal, is_openpbs


def seconds(text: str) -> int:
    """`[[days:]hours:]minutes:seconds` or seconds; raises ValueError."""
    units = (1, 60, 3600, 86400)
    parts = [int(part) for part in reversed(text.split(":"))]
    if len(parts) > len(units) or min(parts) < 0:
        raise ValueError(text)
    return sum(part * unit for part, unit in zip(parts, units))


def clock(total: float) -> str:
    """`HH:MM:SS`."""
    whole = int(total)
    return "{:02}:{:02}:{:02}".format(whole // 3600, whole // 60 % 60, whole % 60)


def size(text: str) -> int:
    """`16gb` in bytes; raises ValueError."""
    found = re.fullmatch(r"(\d+)([kmgt]?)b?", text.lower())
    if not found:
        raise ValueError(text)
    return int(found[1]) << {"": 0, "k": 10, "m": 20, "g": 30, "t": 40}[found[2]]


def wants(resources: dict[str, str]) -> Json:
    """What the values of `-l` ask for: cpus, memory, gpus, and the words a node must have."""
    want: Json = {"cpus": 1, "memory": 0, "gpus": 0, "models": []}
    if is_openpbs():
        return of_select(want, resources)
    return of_nodes(want, resources)


def of_select(want: Json, resources: dict[str, str]) -> Json:
    """OpenPBS: `select=1:ncpus=4:ngpus=2:gpu_model=V100`."""
    keys: dict[str, tuple[str, Callable[[str], Any]]] = {
        "ncpus": ("cpus", int),
        "mem": ("memory", size),
        "ngpus": ("gpus", int),
        "gpu_model": ("models", lambda model: [model]),
    }
    for name in resources:
        if name not in ("select", "walltime", "place", *keys):
            raise Refusal(187, "Unknown resource: " + name)
    chunk = resources.get("select", "1").split(":")
    words = [word.partition("=") for word in chunk if "=" in word]
    words += [(name, "=", resources[name]) for name in keys if name in resources]
    for name, _, value in words:
        if name not in keys:
            raise Refusal(187, "Unknown resource: " + name)
        key, read = keys[name]
        try:
            want[key] = read(value)
        except ValueError:
            said = "Illegal attribute or resource value Resource_List." + name
            raise Refusal(166, said) from None
    return want


def of_nodes(want: Json, resources: dict[str, str]) -> Json:
    """Torque: `nodes=1:ppn=2:gpus=1:V100`; other forms ask for nothing."""
    known = "nodes walltime mem epilogue prologue qos advres select gpus ncpus nodect".split()
    for name in resources:
        if name not in known:
            raise Refusal(189, "Unknown resource type  Resource_List." + name)
    for word in resources.get("nodes", "1").split(":")[1:]:
        name, _, value = word.partition("=")
        if name == "ppn":
            want["cpus"] = int(value)
        elif name == "gpus":
            want["gpus"] = int(value or 1)
        else:
            want["models"].append(word)
    if not any(missing(want, node) is None for node in NODES.values()):
        why = "cannot locate feasible nodes (nodes file is empty, all systems are busy, or no "
        why += "nodes have the requested feature)"
        raise Refusal(190, "Job exceeds queue resource limits MSG=" + why)
    return want


def missing(want: Json, node: Json) -> str | None:
    """The first thing a node lacks, as a key of what it has."""
    if any(model != node["model"] for model in want["models"]):
        return "model"
    lacks = (key for key in ("gpus", "cpus", "memory") if want[key] > node[key])
    return next(lacks, None)
