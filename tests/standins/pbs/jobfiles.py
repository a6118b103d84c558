"""The files of a job on its node: its script, its output, its lists of nodes and GPUs, and the
record by which a mom knows that it has the job."""

from __future__ import annotations

import json
import os
from pathlib import Path

from settings import Json, home, is_openpbs


def make_folders() -> None:
    """Where they lie. Users reach their own files there and list nothing."""
    private = home() / "mom_priv"
    for folder in (private, private / "jobs", home() / "aux", home() / "spool"):
        folder.mkdir(parents=True, exist_ok=True)
    for folder in (private, private / "jobs"):
        folder.chmod(0o751)


class JobFiles:
    """Those of one job."""

    def __init__(self, job: Json) -> None:
        jobs = home() / "mom_priv" / "jobs"
        self.record = jobs / (job["id"] + ".JB")
        self.script = jobs / (job["id"] + ".SC")
        self.output = home() / "spool" / (job["id"] + ".OU")
        # Torque's, with its two slashes.
        self.aux = "{}/aux//{}".format(home(), job["id"])

    def lay(self, job: Json, owner: tuple[int, int]) -> None:
        """Makes them all."""
        self.keep(job, 0)
        self.script.write_text(job["script"], errors="surrogateescape")
        self.script.chmod(0o700)
        self.output.write_bytes(b"")
        self.output.chmod(0o600)
        for path in (self.script, self.output):
            os.chown(path, *owner)
        Path(self.aux).write_text((job["node"] + "\n") * job["want"]["cpus"])
        gpus = ["{}-gpu{}\n".format(job["node"], index) for index in job["indices"]]
        if gpus and not is_openpbs():
            Path(self.aux + "gpu").write_text("".join(gpus))

    def keep(self, job: Json, session: int) -> None:
        """Writes the record, for this mom and the next."""
        new = self.record.with_suffix(".new")
        new.touch(0o600)
        new.write_text(json.dumps({"job": job, "session": session}))
        new.rename(self.record)

    def remove(self) -> None:
        """They go."""
        every = (self.script, self.output, Path(self.aux), Path(self.aux + "gpu"), self.record)
        for path in every:
            path.unlink(missing_ok=True)


def records() -> list[Json]:
    """The jobs that an earlier mom had, with their sessions."""
    return [json.loads(file.read_text()) for file in (home() / "mom_priv" / "jobs").glob("*.JB")]
