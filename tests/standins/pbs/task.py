"""One job on its node: its files, its shell, its signals, and the steps after its end."""

from __future__ import annotations

import grp
import os
import pwd
import signal
import stat
import subprocess
import time
from pathlib import Path
from typing import Any

from session import session_of, signal_session
from settings import (
    EPILOGUE_LIMIT,
    EXIT_WALLTIME,
    OPENPBS_GRACE,
    SPOOL,
    TORQUE_GRACE,
    TORQUE_WALLTIME_GRACE,
    VERSIONS,
    Json,
    dialect,
    is_openpbs,
)
from wants import clock


class Task:
    """A job on its node."""

    def __init__(self, job: Json) -> None:
        self.job = job
        self.account = pwd.getpwnam(job["owner"])
        self.script = SPOOL / "jobs" / (job["id"] + ".SC")
        self.output = SPOOL / "spool" / (job["id"] + ".OU")
        # Torque's, with its two slashes.
        self.aux = "{}/aux//{}".format(SPOOL, job["id"])
        self.exit: int | None = None
        self.kill_at: float | None = None
        self.overrun = False
        self.last: subprocess.Popen[bytes] | None = None
        self.last_until = 0.0
        self.steps = [self.epilogue, self.deliver]
        self.started = time.monotonic()
        self.lay_files()
        self.leader: subprocess.Popen[bytes] | None = None
        self.session = 0
        try:
            self.leader = self.start()
            self.session = self.leader.pid
        except (OSError, subprocess.SubprocessError) as error:
            print(job["id"], error, flush=True)
            self.exit = -1

    def lay_files(self) -> None:
        """The script, the lists of nodes and GPUs, the spooled output."""
        owner = (self.account.pw_uid, self.account.pw_gid)
        node = self.job["node"]
        self.script.write_text(self.job["script"], errors="surrogateescape")
        self.script.chmod(0o700)
        self.output.write_bytes(b"")
        self.output.chmod(0o600)
        for path in (self.script, self.output):
            os.chown(path, *owner)
        Path(self.aux).write_text((node + "\n") * self.job["want"]["cpus"])
        gpus = ["{}-gpu{}\n".format(node, index) for index in self.job["indices"]]
        if gpus and not is_openpbs():
            Path(self.aux + "gpu").write_text("".join(gpus))

    def environment(self) -> dict[str, str]:
        """What the job's login shell starts with."""
        job = self.job
        env = {
            "HOME": self.account.pw_dir,
            "LOGNAME": job["owner"],
            "USER": job["owner"],
            "SHELL": self.account.pw_shell,
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "ENVIRONMENT": "BATCH",
            "PBS_ENVIRONMENT": "PBS_BATCH",
            "PBS_JOBID": job["id"],
            "PBS_JOBNAME": job["name"],
            "PBS_NODEFILE": self.aux,
            "PBS_NODENUM": "0",
            "PBS_QUEUE": job["queue"],
            "PBS_O_HOME": self.account.pw_dir,
            "PBS_O_HOST": job["host"],
            "PBS_O_QUEUE": job["queue"],
            "PBS_O_WORKDIR": job["directory"],
        }
        if not is_openpbs():
            env["PBS_GPUFILE"] = self.aux + "gpu"
            env["PBS_VERSION"] = "TORQUE-" + VERSIONS["torque"]
            env["PBS_WALLTIME"] = str(job["walltime"] or 0)
            if job["indices"]:
                numbers = sorted(job["indices"], reverse=True)
                env["CUDA_VISIBLE_DEVICES"] = ",".join(map(str, numbers))
        return {**job["environment"], **env}

    def as_owner(self, words: list[str], **more: Any) -> subprocess.Popen[bytes]:
        """Starts a program as the job's owner, in a session of its own."""
        groups = os.getgrouplist(self.account.pw_name, self.account.pw_gid)
        return subprocess.Popen(
            words,
            user=self.account.pw_uid,
            group=self.account.pw_gid,
            extra_groups=groups,
            start_new_session=True,
            umask=0o077,
            **more,
        )

    def start(self) -> subprocess.Popen[bytes]:
        """The shell: a login shell that reads the script's path, and runs it as its child."""
        shell = self.job["shell"] or self.account.pw_shell
        target = self.target() if self.is_live() else str(self.output)

        def redirect() -> None:
            flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
            log = os.open(target, flags, 0o600)
            os.dup2(log, 1)
            os.dup2(log, 2)

        leader = self.as_owner(
            ["-" + Path(shell).name],
            executable=shell,
            env=self.environment(),
            cwd=self.account.pw_dir,
            stdin=subprocess.PIPE,
            # It runs after the change of user: the owner opens the file.
            preexec_fn=redirect,
        )
        if leader.stdin is None:
            raise OSError("no pipe")
        try:
            leader.stdin.write(str(self.script).encode() + b"\n")
            leader.stdin.close()
        except BrokenPipeError:
            pass
        return leader

    def is_live(self) -> bool:
        """Whether output goes where it belongs at once: `-k oed`."""
        return is_openpbs() and "d" in self.job["keep"]

    def target(self) -> str:
        """Where output belongs."""
        return str(self.job["output"]).partition(":")[2]

    def stop(self, grace: float) -> None:
        """SIGTERM, and SIGKILL when the grace is over; a second one changes nothing."""
        if self.kill_at is None:
            self.kill_at = time.monotonic() + grace
            signal_session(self.session, signal.SIGTERM)

    def delete(self, force: bool) -> None:
        """qdel."""
        if force:
            signal_session(self.session, signal.SIGKILL)
        elif is_openpbs():
            self.stop(OPENPBS_GRACE)
        else:
            self.stop(float(self.job["kill_delay"] or TORQUE_GRACE))

    def is_over(self) -> bool:
        """A look at the job: does what is due, says whether all of it is done."""
        if self.exit is None:
            self.watch()
        if self.exit is None:
            return False
        return self.wind_up()

    def watch(self) -> None:
        """The walltime, the end of a grace, the leader's end."""
        now = time.monotonic()
        walltime = self.job["walltime"]
        if walltime and now - self.started > walltime and not self.overrun:
            self.overrun = True
            self.stop(OPENPBS_GRACE if is_openpbs() else TORQUE_WALLTIME_GRACE)
        if self.kill_at is not None and now > self.kill_at:
            signal_session(self.session, signal.SIGKILL)
        code = self.leader.poll() if self.leader else 1
        if code is None:
            return
        # Where a job was told to stop, OpenPBS gives the grace to all of its session.
        if is_openpbs() and self.kill_at is not None and session_of(self.session):
            return
        signal_session(self.session, signal.SIGKILL)
        self.exit = 256 - code if code < 0 else code
        if self.overrun:
            self.exit = EXIT_WALLTIME[dialect()]

    def wind_up(self) -> bool:
        """One step after another, each a process of the owner's, until none is left."""
        if self.last is not None:
            if self.last.poll() is None:
                if time.monotonic() > self.last_until:
                    signal_session(self.last.pid, signal.SIGKILL)
                return False
            self.last = None
        while self.steps and self.last is None:
            self.last = self.steps.pop(0)()
            self.last_until = time.monotonic() + EPILOGUE_LIMIT
        if self.last is not None:
            return False
        for path in (self.script, self.output, Path(self.aux), Path(self.aux + "gpu")):
            path.unlink(missing_ok=True)
        return True

    def epilogue(self) -> subprocess.Popen[bytes] | None:
        """Torque's `-l epilogue=`; one that others could write is skipped without a word."""
        path = self.job["resources"].get("epilogue")
        if is_openpbs() or not path:
            return None
        try:
            found = os.stat(path)
        except OSError:
            return None
        is_safe = found.st_uid == self.account.pw_uid and not found.st_mode & 0o022
        if not (is_safe and stat.S_ISREG(found.st_mode) and found.st_mode & 0o500 == 0o500):
            return None
        job = self.job
        asked = ",".join("=".join(pair) for pair in job["resources"].items())
        used = "cput=00:00:00,mem=0kb,vmem=0kb,walltime="
        words = [path, job["id"], job["owner"], grp.getgrgid(self.account.pw_gid).gr_name]
        words += [job["name"], str(self.session), asked]
        words += [used + clock(time.monotonic() - self.started), job["queue"]]
        words += [job["account"], str(self.exit), str(self.script)]
        return self.quiet(words, {"PATH": "/bin:/usr/bin"})

    def deliver(self) -> subprocess.Popen[bytes] | None:
        """Output that was spooled goes where it belongs."""
        if self.is_live():
            return None
        words = ["cp", "--", str(self.output), self.target()]
        return self.quiet(words, {"PATH": "/usr/bin:/bin"})

    def quiet(self, words: list[str], env: dict[str, str]) -> subprocess.Popen[bytes] | None:
        """A step that says nothing and whose failure changes nothing."""
        null = subprocess.DEVNULL
        try:
            return self.as_owner(
                words, env=env, cwd=self.account.pw_dir, stdin=null, stdout=null, stderr=null
            )
        except (OSError, subprocess.SubprocessError) as error:
            print(self.job["id"], words[0], error, flush=True)
            return None
