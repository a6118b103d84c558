#!/usr/bin/env python3
"""The laptop's side against ssh by hand: a command with the hops up, from cold, and throughput.

Run on the laptop while a session is connected there.

    laptop.py [--no-masters] SESSION LOGIN [PAIRS]        laptop.py bench alice@login

With --no-masters the user's configuration says `masters = false` of that login. From cold nobody is
connected then, so that this ends the connect that runs.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from pairs import measure, tell, timed

HOME = Path.home()
MASTERS = Path(os.environ["XDG_RUNTIME_DIR"]) / "qdebug"
MEGABYTES = 300
LIMIT = 30.0


def run(*words: str) -> None:
    """Runs a program to its end; raises when it fails."""
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def free_port() -> int:
    """A port of this machine that nobody has at this moment."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def end_connect(session: str) -> None:
    """Ends the running `connect` of a session, without which every ssh dials for itself."""
    line = "^qdebug connect {} ".format(session)
    subprocess.run(["pkill", "-INT", "-f", line], check=True)
    until = time.monotonic() + LIMIT
    while subprocess.run(["pgrep", "-f", line], check=False, capture_output=True).returncode == 0:
        if time.monotonic() > until:
            raise TimeoutError("connect does not end")
        time.sleep(0.1)


def close_masters() -> None:
    """Ends every connection that qdebug keeps open."""
    for path in MASTERS.iterdir():
        if path.is_socket():
            words = ["ssh", "-o", "ControlPath={}".format(path), "-O", "exit", "any"]
            subprocess.run(words, check=False, capture_output=True)


class ByHand:
    """What a person writes into an ssh configuration to get into the session without qdebug."""

    def __init__(self, session: str, login: str, folder: Path) -> None:
        asked = ("qdebug", "status", "--json", session, "--on", login)
        told = subprocess.run(asked, check=True, capture_output=True, text=True).stdout
        details = json.loads(told)["details"]
        user, _, host = login.partition("@")
        self.port = details["port"]
        self.config = folder / "config"
        self.config.write_text(
            "Host hand-login\n  HostName {host}\n"
            "Host hand-node\n  HostName {node}\n  ProxyJump hand-login\n"
            "Host hand-session\n  HostName 127.0.0.1\n  Port {port}\n  ProxyJump hand-node\n"
            "Host hand-tunnel\n  HostName 127.0.0.1\n"
            "Host *\n  User {user}\n  BatchMode yes\n  StrictHostKeyChecking no\n"
            "  UserKnownHostsFile /dev/null\n  LogLevel ERROR\n"
            "  IdentityFile {home}/.ssh/id_ed25519\n"
            "  IdentityFile {home}/.local/share/qdebug/id_ed25519\n".format(
                host=host, node=details["node"], port=self.port, user=user, home=HOME
            )
        )

    def ssh(self, *words: str) -> list[str]:
        """The words of an ssh of this configuration."""
        return ["ssh", "-F", str(self.config), *words]


@contextlib.contextmanager
def tunnel(hand: ByHand):
    """`ssh -L` by hand through the same hops; gives its port."""
    port = free_port()
    forward = "127.0.0.1:{}:127.0.0.1:{}".format(port, hand.port)
    process = subprocess.Popen(hand.ssh("-N", "-L", forward, "hand-node"))
    until = time.monotonic() + LIMIT
    try:
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                break
            if time.monotonic() > until:
                raise TimeoutError("no tunnel")
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait(LIMIT)


def fetch(words: list[str]) -> float:
    """Seconds in which so many megabytes come out of the session."""
    read = "head -c {}000000 /dev/zero".format(MEGABYTES)
    return timed(lambda: run(*words, read))


def main() -> None:
    """Measures the three."""
    words = sys.argv[1:]
    has_masters = words[0] != "--no-masters"
    session, login, *more = words if has_masters else words[1:]
    count = int(more[0]) if more else 30
    alias = "qdebug-" + session
    # Both sides without what the user's own configuration does.
    with tempfile.TemporaryDirectory() as folder:
        hand = ByHand(session, login, Path(folder))
        by_hand = lambda: timed(lambda: run(*hand.ssh("hand-session", "true")))
        ours = lambda: timed(lambda: run("ssh", alias, "true"))
        tell("ssh with the hops up / ssh -J", measure(ours, by_hand, count), 0.40)

        def cold() -> float:
            if has_masters:
                close_masters()
            return ours()

        if has_masters:
            tell("ssh from cold / ssh -J", measure(cold, by_hand, count), 1.15)
        with tunnel(hand) as port:
            bulk = ["-o", "Ciphers=aes128-gcm@openssh.com"]
            listener = [*hand.ssh(*bulk, "-p", str(listener_port(session))), "hand-tunnel"]
            plain = [*hand.ssh(*bulk, "-p", str(port)), "hand-tunnel"]
            pairs = measure(lambda: fetch(plain), lambda: fetch(listener), max(count // 3, 3))
            # Seconds of theirs over seconds of ours is throughput of ours over theirs.
            tell("throughput, listener / ssh -L", pairs, 0.95, larger_is_better=True)
        if not has_masters:
            end_connect(session)
            tell("ssh from cold / ssh -J", measure(cold, by_hand, count), 1.15)


def listener_port(session: str) -> int:
    """The port on which the running `connect` of a session listens."""
    state = HOME / ".local" / "state" / "qdebug" / "sessions"
    for path in state.glob("*.json"):
        told = json.loads(path.read_text())
        if told.get("name") == session:
            return told["port"]
    raise SystemExit("no session {} is connected here".format(session))


if __name__ == "__main__":
    main()
