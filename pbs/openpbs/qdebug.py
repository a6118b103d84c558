# qdebug-hook @VERSION@ (openpbs)
"""qdebug's hook for OpenPBS: no container outlives its job.

One file for four events, which each mom runs as root:

execjob_epilogue, execjob_end   the job's containers go, whatever the server still shows. Both,
                                since either can be missing, late or first.
exechost_periodic               containers of jobs that this mom no longer has go.
exechost_startup                the same, after a crash of the node.

It never raises and never rejects: a job or a node must not suffer from it. What the job's owner
can choose is handed on as one word of an argv, to a program that only compares it. The program is
run only when root alone can have written it. Installed by `qdebug hooks install`, which puts its
path in.
"""

import os
import pwd
import stat
import subprocess
import syslog

import pbs

QDEBUG = "@QDEBUG@"
PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
# The hook's alarm is 45 s.
TIME_LIMIT = 30
MIN_AGE = 60


def say(text):
    # Mom's own log depends on how it is configured; the node's does not.
    syslog.openlog("qdebug", 0, syslog.LOG_DAEMON)
    syslog.syslog(syslog.LOG_WARNING, text)
    pbs.logmsg(pbs.LOG_WARNING, "qdebug: " + text)


def trusted(path):
    """Whether it and all above it belong to root and nobody else may write there."""
    while True:
        found = os.lstat(path)
        if found.st_uid != 0 or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            return False
        if path == "/":
            return True
        path = os.path.dirname(path)


def clean(*words):
    """Runs `qdebug cleanup` in a clean environment, for a limited time."""
    program = os.path.realpath(QDEBUG)
    if not (os.path.isfile(program) and os.access(program, os.X_OK) and trusted(program)):
        say(
            QDEBUG + " is not there, or others than root may write to it or above it: "
            "nothing is done"
        )
        return
    argv = [program, "cleanup", "--scheduler", "openpbs"]
    argv.extend(words)
    ran = subprocess.run(
        argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={"PATH": PATH},
        cwd="/",
        timeout=TIME_LIMIT,
        check=False,
    )
    # The program itself has told the node's log.
    for line in ran.stderr.decode("utf-8", "replace").splitlines()[:20]:
        pbs.logmsg(pbs.LOG_WARNING, line[:500])


def of_job(job):
    words = ["--job", str(job.id)]
    try:
        words += ["--uid", str(pwd.getpwnam(str(job.euser)).pw_uid)]
    except (KeyError, AttributeError, ValueError):
        # The directory of users does not answer: the job's id says enough.
        pass
    clean(*words)


def pbs_home():
    """PBS_HOME of this node's pbs.conf."""
    home = "/var/spool/pbs"
    try:
        with open(os.environ.get("PBS_CONF_FILE", "/etc/pbs.conf"), encoding="utf-8") as conf:
            for line in conf:
                name, _, value = line.strip().partition("=")
                if name.strip() == "PBS_HOME" and value.strip():
                    home = value.strip()
    except OSError:
        pass
    return os.environ.get("PBS_HOME", home)


def living(event):
    """The ids of all jobs of this mom: those it tells of and those it has files of."""
    names = os.listdir(os.path.join(pbs_home(), "mom_priv", "jobs"))
    jobs = {name[: -len(".JB")] for name in names if name.endswith(".JB")}
    # At startup there is none: the files alone say who lives.
    told = getattr(event, "job_list", None)
    if told is not None:
        jobs.update(str(job) for job in told.keys())
    return jobs


def main():
    event = pbs.event()
    if event.type in (pbs.EXECJOB_EPILOGUE, pbs.EXECJOB_END):
        of_job(event.job)
    elif event.type in (pbs.EXECHOST_PERIODIC, pbs.EXECHOST_STARTUP):
        clean("--sweep", "--live", ",".join(sorted(living(event))), "--min-age", str(MIN_AGE))


try:
    main()
except Exception as error:  # Nothing of ours may reach the job.
    try:
        say("nothing is done: {}: {}".format(type(error).__name__, error))
    except Exception:
        pass
