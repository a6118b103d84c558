#!/usr/bin/env python3
"""An image that only the shared cache has, against `docker load` of the same image.

Run on a node as its user, whose home is shared. From the exec of `qdebug image build` until the
engine has the image, out of the compressed cache, against `docker load` of a plain archive on the
same file system; the image is removed in between.

    second_node.py [PAIRS]
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from pairs import measure, tell, timed

BASE = "qdebug/demo"
IMAGE = "qdebug-bench/second-node:1"
# What makes the image large: half of it cannot be compressed, as with libraries of GPUs.
RECIPE = """FROM {}
RUN head -c 200000000 /dev/urandom >/noise && cp -a /usr /usr-again && cp -a /usr /usr-once-more
""".format(BASE)


def run(*words: str, **more: object) -> None:
    """Runs a program to its end; raises when it fails."""
    subprocess.run(words, check=True, capture_output=True, **more)


def main() -> None:
    """Measures both."""
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 30
    folder = Path(tempfile.mkdtemp(prefix="bench-", dir=Path.home()))
    archive = folder / "image.tar"
    (folder / "config.toml").write_text('cache = "{}"\n'.format(folder / "cache"))
    env = {**os.environ, "QDEBUG_CONFIG": str(folder / "config.toml")}

    def forget() -> None:
        run("docker", "rmi", "-f", IMAGE)

    def ours() -> float:
        forget()
        return timed(lambda: run("qdebug", "image", "build", "-i", IMAGE, env=env))

    def theirs() -> float:
        forget()
        return timed(lambda: run("docker", "load", "-i", str(archive)))

    try:
        run("docker", "build", "-t", IMAGE, "-", input=RECIPE.encode())
        run("docker", "save", "-o", str(archive), IMAGE)
        run("qdebug", "image", "build", "-i", IMAGE, env=env)
        tell("second node / docker load", measure(ours, theirs, count), 1.10)
    finally:
        subprocess.run(["docker", "rmi", "-f", IMAGE], capture_output=True, check=False)
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
