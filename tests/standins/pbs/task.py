"""One job on its node, from its prologue to its last hook: its shell, its signals, and the steps
before and after it."""

from __future__ import annotations

import grp
import os
import pwd
import signal
import subprocess
import time
from pathlib import Path
from typing import Any, Callable

import pelogs
from hooks import Hooks
from jobfiles import JobFiles
from session import session_of, signal_session
from settings import (
    END_DELAY,
    EXIT_LOST,
    EXIT_REFUSED,
    EXIT_RETRY,
    EXIT_WALLTIME,
    OPENPBS_GRACE,
    TORQUE_GRACE,
    TORQUE_WALLTIME_GRACE,
    VERSIONS,
    Json,
    dialect,
    home,
    is_openpbs,
)
from steps import Started, Step, Steps
from wants import clock


class Task:
    """A job on its node."""

    def __init__(self, job: Json, hooks: Hooks) -> None:
        self.job = job
        self.hooks = hooks
        self.account = pwd.getpwnam(job["owner"])
        self.group = grp.getgrgid(self.account.pw_gid).gr_name
        self.files = JobFiles(job)
        self.exit: int | None = None
        self.kill_at: float | None = None
        self.overrun = False
        # It shall stop before it has begun.
        self.is_doomed = False
        # Its shell is the child of an earlier mom.
        self.is_adopted = False
        self.leader: subprocess.Popen[bytes] | None = None
        self.session = 0
        self.started = time.monotonic()
        self.ended_at = 0.0
        self.before = Steps(self.steps_before())
        self.term: Steps | None = None
        self.after: Steps | None = None
        self.end: Steps | None = None

    @classmethod
    def new(cls, job: Json, hooks: Hooks) -> Task:
        """A job that the server has just given to this node."""
        task = cls(job, hooks)
        task.files.lay(job, (task.account.pw_uid, task.account.pw_gid))
        task.launch()
        return task

    @classmethod
    def lost(cls, job: Json, session: int, hooks: Hooks) -> Task:
        """A job of an earlier mom, which nobody waits for any more. Torque's goes on with what still
        runs; else what is left of it ends."""
        task = cls(job, hooks)
        task.before.drop()
        task.session = session
        if session and not is_openpbs() and session_of(session):
            task.is_adopted = True
            return task
        if session:
            signal_session(session, signal.SIGKILL)
        task.exit = EXIT_LOST[dialect()]
        return task

    # Before it begins.

    def steps_before(self) -> list[Step]:
        """OpenPBS' hooks, Torque's prologues; any of them can refuse the job."""
        if is_openpbs():
            events = ("execjob_begin", "execjob_prologue", "execjob_launch")
            return [step for event in events for step in self.hook_steps(event, self.refuse)]
        words = pelogs.words_before(self.job, self.group, self.files.script)
        return [
            self.pelog("prologue", words, judge=self.refuse),
            self.pelog("prologue.user", words, by_owner=True, judge=self.refuse),
        ]

    def refuse(self, status: int) -> None:
        """The job does not run here: for good after a prologue's 1, else it is tried again."""
        if status:
            self.before.drop()
            for_good = status == 1 and not is_openpbs()
            self.exit = EXIT_REFUSED if for_good else EXIT_RETRY

    def launch(self) -> bool:
        """Begins when all before it is done; says whether it has begun or never will."""
        if not self.before.are_done():
            return False
        if self.exit is not None:
            return True
        if self.is_doomed:
            self.exit = 256 + signal.SIGTERM
            return True
        self.started = time.monotonic()
        try:
            self.leader = self.start()
            self.session = self.leader.pid
            self.files.keep(self.job, self.session)
        except (OSError, subprocess.SubprocessError) as error:
            print(self.job["id"], error, flush=True)
            self.exit = -1
        return True

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
            "PBS_NODEFILE": self.files.aux,
            "PBS_NODENUM": "0",
            "PBS_QUEUE": job["queue"],
            "PBS_O_HOME": self.account.pw_dir,
            "PBS_O_HOST": job["host"],
            "PBS_O_QUEUE": job["queue"],
            "PBS_O_WORKDIR": job["directory"],
        }
        if not is_openpbs():
            env["PBS_GPUFILE"] = self.files.aux + "gpu"
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
        target = self.target() if self.is_live() else str(self.files.output)

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
            leader.stdin.write(str(self.files.script).encode() + b"\n")
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

    # While it runs.

    def stop(self, grace: float) -> None:
        """SIGTERM, and SIGKILL when the grace is over; a second one changes nothing."""
        if self.kill_at is None:
            self.kill_at = time.monotonic() + grace
            signal_session(self.session, signal.SIGTERM)

    def delete(self, force: bool) -> None:
        """qdel: first what is to come before the signal."""
        if not self.session:
            self.is_doomed = True
        elif force:
            signal_session(self.session, signal.SIGKILL)
        elif self.term is None:
            words = self.words_after()
            precancel = self.pelog("epilogue.precancel", words, by_owner=True)
            steps = self.hook_steps("execjob_preterm") if is_openpbs() else [precancel]
            self.term = Steps(steps)
            self.press()

    def press(self) -> None:
        """The signal of a qdel, when its time has come."""
        if self.term is not None and self.term.are_done():
            delay = float(self.job["kill_delay"] or TORQUE_GRACE)
            self.stop(OPENPBS_GRACE if is_openpbs() else delay)

    def is_over(self) -> bool:
        """A look at the job: does what is due, says whether the server can be told of its end."""
        has_begun = self.leader is not None or self.is_adopted
        if self.exit is None and not has_begun and not self.launch():
            return False
        if self.exit is None:
            self.watch()
        if self.exit is None:
            return False
        if self.after is None:
            self.ended_at = time.monotonic()
            self.after = Steps(self.steps_after())
        return self.after.are_done()

    def watch(self) -> None:
        """The walltime, the end of a grace, the leader's end."""
        now = time.monotonic()
        self.press()
        walltime = self.job["walltime"]
        if walltime and now - self.started > walltime and not self.overrun:
            self.overrun = True
            self.stop(OPENPBS_GRACE if is_openpbs() else TORQUE_WALLTIME_GRACE)
        if self.kill_at is not None and now > self.kill_at:
            signal_session(self.session, signal.SIGKILL)
        code = self.code()
        if code is None:
            return
        # Where a job was told to stop, OpenPBS gives the grace to all of its session.
        if is_openpbs() and self.kill_at is not None and session_of(self.session):
            return
        signal_session(self.session, signal.SIGKILL)
        self.exit = 256 - code if code < 0 else code
        if self.overrun:
            self.exit = EXIT_WALLTIME[dialect()]

    def code(self) -> int | None:
        """The exit status of its shell; of one that is not our own only that it has ended."""
        if self.is_adopted:
            return None if session_of(self.session) else 0
        return self.leader.poll() if self.leader else 1

    # After its end.

    def steps_after(self) -> list[Step]:
        """Hooks or epilogues, then the output; nothing for a job that never ran."""
        if self.exit in (EXIT_REFUSED, EXIT_RETRY):
            return []
        deliver = Step("delivery", self.deliver, pelogs.limit())
        if is_openpbs():
            return [*self.hook_steps("execjob_epilogue"), deliver]
        words = self.words_after()
        of_job = self.job["resources"].get("epilogue", "")
        return [
            self.pelog(of_job, words, by_owner=True, of_job=True),
            self.pelog("epilogue.user", words, by_owner=True),
            self.pelog("epilogue", words),
            deliver,
        ]

    def is_gone(self) -> bool:
        """The server knows: the last hooks, and the files go. Says whether all is done."""
        if self.end is None:
            early = time.monotonic() - self.ended_at < END_DELAY
            if is_openpbs() and self.exit != EXIT_RETRY and early:
                return False
            ran = is_openpbs() and self.exit != EXIT_RETRY
            self.end = Steps(self.hook_steps("execjob_end") if ran else [])
        if not self.end.are_done():
            return False
        self.files.remove()
        return True

    def told(self) -> Json:
        """What hooks are told of it."""
        job = self.job
        return {
            "id": job["id"],
            "Job_Name": job["name"],
            "Job_Owner": "{}@{}".format(job["owner"], job["host"]),
            "Account_Name": job["account"] or None,
            "Exit_status": self.exit,
            "egroup": self.group,
            "euser": job["owner"],
            "project": job["project"],
            "queue": job["queue"],
            "session_id": self.session or None,
        }

    def hook_steps(
        self, event: str, judge: Callable[[int], None] = lambda status: None
    ) -> list[Step]:
        """The hooks of an event of this job."""
        return self.hooks.steps(event, {"job": self.told()}, judge)

    def words_after(self) -> list[str]:
        """What Torque's epilogues are told."""
        walltime = clock(time.monotonic() - self.started)
        script = self.files.script
        return pelogs.words_after(
            self.job, self.group, script, self.session, walltime, self.exit
        )

    def pelog(
        self,
        name: str,
        words: list[str],
        by_owner: bool = False,
        of_job: bool = False,
        judge: Callable[[int], None] = lambda status: None,
    ) -> Step:
        """One of Torque's scripts; whether it may run is asked when its turn comes."""
        path = name if of_job else pelogs.of_mom(name)
        owner = self.account.pw_uid if of_job else 0

        def start() -> Started:
            if not name or not pelogs.may_run(path, owner, by_owner and not of_job):
                return None
            env = pelogs.environment(self.job, self.files.aux)
            return self.quiet([path, *words], env, by_owner)

        return Step(name, start, pelogs.limit(), judge)

    def deliver(self) -> Started:
        """Output that was spooled goes where it belongs."""
        if self.is_live():
            return None
        words = ["cp", "--", str(self.files.output), self.target()]
        return self.quiet(words, {"PATH": "/usr/bin:/bin"}, True)

    def quiet(self, words: list[str], env: dict[str, str], by_owner: bool) -> Started:
        """A step that says nothing."""
        null = subprocess.DEVNULL
        try:
            if by_owner:
                return self.as_owner(
                    words, env=env, cwd=self.account.pw_dir, stdin=null, stdout=null, stderr=null
                )
            return subprocess.Popen(
                words,
                env=env,
                cwd=home() / "mom_priv",
                stdin=null,
                stdout=null,
                stderr=null,
                start_new_session=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            print(self.job["id"], words[0], error, flush=True)
            return None
