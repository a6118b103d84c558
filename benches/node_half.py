#!/usr/bin/env python3
"""The node half against one bare `docker run` with the same kit, mounts and limits.

Run on a node as its user. From the exec of `qdebug node` until it has read sshd's banner, against
the same container started by the docker command until its banner is read; first with an image
that qdebug knows, then with one it never saw. Of both also until the session is ready, which is when
somebody may enter it.

    node_half.py [PAIRS]
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from pairs import measure, tell

IMAGE = "qdebug/demo"
HOME = Path.home()
SESSIONS = HOME / ".qdebug" / "sessions"
NODE_DIR = Path("/var/tmp/qdebug-{}".format(os.getuid()))
LIMIT = 60.0


def run(*words: str) -> str:
    """Runs a program to its end; raises when it fails."""
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def await_line(path: Path, word: str) -> None:
    """Waits until a file holds a word."""
    until = time.monotonic() + LIMIT
    while time.monotonic() < until:
        with contextlib.suppress(FileNotFoundError):
            if word in path.read_text(errors="replace"):
                return
        time.sleep(0.001)
    raise TimeoutError("{} never said {!r}".format(path, word))


def await_banner(port: int) -> None:
    """Waits until sshd answers on a port."""
    until = time.monotonic() + LIMIT
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                if connection.recv(4) == b"SSH-":
                    return
        time.sleep(0.001)
    raise TimeoutError("no sshd on port {}".format(port))


class NodeHalf:
    """Sessions of the scheduler `local`, whose node half is run by hand."""

    def __init__(self) -> None:
        name = "bench-template"
        words = ("--scheduler", "local", "-g", "none", "-w", "1h", "-i", IMAGE, "--name", name)
        run("qdebug", "submit", "--json", *words)
        run("qdebug", "stop", name)
        self.request = json.loads((SESSIONS / name / "request.json").read_text())
        shutil.rmtree(SESSIONS / name)

    def start(self) -> tuple[subprocess.Popen[bytes], Path, tuple[float, float]]:
        """Starts one and waits until it is ready; the seconds to its banner, and those to that."""
        token = secrets.token_hex(16)
        folder = SESSIONS / ("bench-" + token[:8])
        folder.mkdir(mode=0o700)
        self.request.update(token=token, name=folder.name)
        (folder / "request.json").write_text(json.dumps(self.request))
        env = {**os.environ, "QDEBUG_LOCAL_JOB": "1"}
        began = time.perf_counter()
        process = subprocess.Popen(
            ["qdebug", "node", str(folder)],
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        await_line(folder / "node.log", "sshd answers")
        banner = time.perf_counter() - began
        await_line(folder / "state.json", '"ready"')
        return process, folder, (banner, time.perf_counter() - began)

    @staticmethod
    def end(process: subprocess.Popen[bytes], folder: Path) -> None:
        """Ends one and waits."""
        process.send_signal(signal.SIGTERM)
        process.wait(LIMIT)
        shutil.rmtree(folder)

    def once(self) -> tuple[float, float]:
        """Starts and ends one."""
        process, folder, took = self.start()
        self.end(process, folder)
        return took

    def once_on_a_new_image(self) -> tuple[float, float]:
        """The same with all that is known of images forgotten."""
        shutil.rmtree(NODE_DIR / "images", ignore_errors=True)
        return self.once()


class Bare:
    """The container of a node half as one `docker run`: its files are copied, its lease is held."""

    def __init__(self, half: NodeHalf) -> None:
        process, folder, _ = half.start()
        self.port = 0
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        token = half.request["token"]
        found = run("docker", "ps", "-q", "--filter", "label=qdebug.token=" + token).split()
        told = json.loads(run("docker", "inspect", *found))[0]
        self.copy = NODE_DIR / "bench-copy"
        shutil.rmtree(self.copy, ignore_errors=True)
        self.words = ["docker", "run", "-d", *self.options(told)]
        half.end(process, folder)

    def options(self, told: dict) -> list[str]:
        """The words of `docker run` for a container that is there."""
        config, host = told["Config"], told["HostConfig"]
        words = ["--rm", "--user", config["User"], "--workdir", config["WorkingDir"] or "/"]
        words += ["--hostname", config["Hostname"], "--shm-size", str(host["ShmSize"])]
        words += ["--publish", "127.0.0.1:{}:2222".format(self.port)]
        for name in ("Memory", "PidsLimit", "CpusetCpus"):
            option = {"Memory": "--memory", "PidsLimit": "--pids-limit", "CpusetCpus": "--cpuset-cpus"}
            if host.get(name):
                words += [option[name], str(host[name])]
        for option, values in (
            ("--cap-drop", host["CapDrop"]),
            ("--cap-add", host["CapAdd"]),
            ("--security-opt", host["SecurityOpt"]),
            ("--group-add", host["GroupAdd"]),
            ("--env", config["Env"]),
        ):
            for value in values or []:
                words += [option, value]
        for mount in told["Mounts"]:
            source = self.kept(Path(mount["Source"]))
            mode = "" if mount["RW"] else ",readonly"
            words += ["--mount", "type=bind,src={},dst={}{}".format(source, mount["Destination"], mode)]
        argv = [*(config["Entrypoint"] or []), *(config["Cmd"] or [])]
        return [*words, "--entrypoint", argv[0], config["Image"], *argv[1:]]

    def kept(self, source: Path) -> Path:
        """A file of the session's that goes with it is copied; all else is taken as it is."""
        if NODE_DIR not in source.parents or source.name.startswith("kit-"):
            return source
        copy = self.copy / source.name
        copy.parent.mkdir(exist_ok=True)
        if not source.is_dir():
            shutil.copy(source, copy)
            return copy
        copy.mkdir(mode=0o700)
        for inside in source.iterdir():
            if inside.is_fifo():
                os.mkfifo(copy / inside.name, 0o600)
                # Held as long as this process lives.
                self.lease = os.open(copy / inside.name, os.O_RDWR)
            else:
                shutil.copy(inside, copy / inside.name)
        return copy

    def once(self) -> float:
        """One run until its banner is read."""
        # Init reads it as the holder's first word.
        os.write(self.lease, b"deadline 3600\n")
        began = time.perf_counter()
        container = run(*self.words).strip()
        await_banner(self.port)
        took = time.perf_counter() - began
        run("docker", "rm", "-f", container)
        return took


def main() -> None:
    """Measures both."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    half = NodeHalf()
    bare = Bare(half)
    for image, once in (("known", half.once), ("new", half.once_on_a_new_image)):
        pairs = measure(once, bare.once, count)
        for moment, which in (("banner", 0), ("ready", 1)):
            told = "node half to {}, {} image / docker run".format(moment, image)
            tell(told, [(ours[which], theirs) for ours, theirs in pairs], 1.15)
    shutil.rmtree(bare.copy)


if __name__ == "__main__":
    main()
