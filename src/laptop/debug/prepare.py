# Runs in the session, on the stdin of the Python that the program will run under: tells which
# debugger that one has (or installs it), picks a port, lays down what will run.
import importlib
import json
import os
import site
import socket
import subprocess
import sys
import tempfile


def look():
    """The package that the debugger is of with its version, and why there is none."""
    try:
        module = importlib.import_module(ASK["module"])
    except Exception as error:
        return None, "%s: %s" % (type(error).__name__, error)
    # PyCharm's pydevd has the number of the project that it was made from.
    own = getattr(module, "__version__", None) if ASK["module"] != "pydevd" else None
    try:
        from importlib import metadata
    except ImportError:  # before Python 3.8
        return [ASK["packages"][-1], str(own or "unknown")], None
    for package in ASK["packages"]:
        try:
            version = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
        return [package, str(own or version)], None
    return [ASK["packages"][-1], str(own or "unknown")], None


def install(package):
    """By pip, as the user: PYTHONUSERBASE is a folder of this image's own."""
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input"]
    if sys.prefix == getattr(sys, "base_prefix", sys.prefix):
        command.append("--user")
    # Some distributions forbid pip beside their own packages; those are not touched here.
    env = dict(os.environ, PIP_BREAK_SYSTEM_PACKAGES="1", PIP_RETRIES="1", PIP_DEFAULT_TIMEOUT="20")
    pip = subprocess.run(command + [package], env=env, stdin=subprocess.DEVNULL,
                         stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    if pip.returncode == 0:
        # The folder may have been made just now.
        site.addsitedir(site.getusersitepackages())
        importlib.invalidate_caches()
        return None
    said = pip.stdout.decode("utf-8", "replace")
    lines = [line for line in said.splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error")]
    return (errors or lines or ["pip ended with status %d" % pip.returncode])[-1]


def free_port(wished):
    for port in (wished, 0):
        listener = socket.socket()
        try:
            listener.bind(("127.0.0.1", port))
            return listener.getsockname()[1]
        except OSError:
            pass
        finally:
            listener.close()
    raise RuntimeError("no port is free")


def main():
    found, problem = look()
    if found is None and ASK["install"]:
        problem = install(ASK["packages"][0])
        if problem is None:
            found, problem = look()
    answer = {"debugger": found, "problem": problem, "python": sys.version.split()[0]}
    if found is not None:
        # The same port as on the laptop where it is free: then one configuration serves an IDE
        # that runs there and one that runs in here.
        answer["port"] = free_port(ASK["port"])
        folder = tempfile.mkdtemp(prefix="qdebug-debug-")
        answer["run"] = os.path.join(folder, "run.py")
        with open(answer["run"], "w") as run:
            run.write(ASK["run"])
    print("\n" + ASK["mark"] + json.dumps(answer))


main()
