"""The fields that qstat tells of a job, in each dialect's names and order."""

from __future__ import annotations

import time
from typing import Any, Callable

from settings import SERVER, Json, is_openpbs
from wants import clock


def letter_of(job: Json) -> str:
    """The state as the dialect writes it."""
    state = str(job["state"])
    return "C" if state == "F" and not is_openpbs() else state


def vnode(job: Json) -> str:
    """OpenPBS: `(node1:ncpus=1:ngpus=1)`."""
    want = job["want"]
    words = [job["node"], "ncpus={}".format(want["cpus"])]
    if want["memory"]:
        words.append("mem={}kb".format(want["memory"] >> 10))
    if want["gpus"]:
        words.append("ngpus={}".format(want["gpus"]))
    return "({})".format(":".join(words))


def ctime(at: float) -> str:
    """As ctime(3), in the zone of TZ."""
    return time.ctime(at)


def slots(job: Json) -> str:
    """The processors: `node1/0` or `node1/0*4`, `node1/0-3`."""
    count = job["want"]["cpus"]
    if is_openpbs():
        return "{}/0{}".format(job["node"], "*{}".format(count) if count > 1 else "")
    return "{}/0{}".format(job["node"], "-{}".format(count - 1) if count > 1 else "")


def of_openpbs(job: Json, now: float) -> Json:
    """The fields of OpenPBS' qstat -f, in its order."""
    state, ran = job["state"], "started" in job
    want = job["want"]
    fields: Json = {
        "Job_Name": job["name"],
        "Job_Owner": "{}@{}".format(job["owner"], job["host"]),
    }
    if ran:
        used = job.get("ended", now) - job["started"]
        fields["resources_used"] = {"cput": "00:00:00", "mem": "0kb", "walltime": clock(used)}
    fields.update(
        job_state=state,
        queue=job["queue"],
        server=SERVER,
        Checkpoint="u",
        ctime=ctime(job["made"]),
    )
    if ran:
        fields.update(exec_host=slots(job), exec_vnode=vnode(job))
    asked: Json = {"ncpus": want["cpus"]}
    if want["gpus"]:
        asked["ngpus"] = want["gpus"]
    asked.update(nodect=1, place="free", **job["resources"])
    fields.update(
        Hold_Types="u" if job["state"] == "H" else "n",
        Join_Path=job["join"],
        Keep_Files=job["keep"],
        Mail_Points="a",
        mtime=ctime(job["changed"]),
        Output_Path=job["output"],
        Priority=0,
        qtime=ctime(job["made"]),
        Rerunable="False" if job["rerun"] == "n" else "True",
        Resource_List=asked,
    )
    if ran:
        fields["stime"] = ctime(job["started"])
    if job.get("session"):
        fields.update(session_id=job["session"], jobdir="/home/" + job["owner"])
    substates = {"Q": 10, "H": 20, "R": 42}
    fields["substate"] = substates.get(state) or substate_of_end(job)
    variables = {
        "PBS_O_WORKDIR": job["directory"],
        "PBS_O_QUEUE": job["queue"],
        "PBS_O_HOST": job["host"],
    }
    fields["Variable_List"] = variables
    if job.get("comment"):
        fields["comment"] = job["comment"]
    fields["etime"] = ctime(job["made"])
    if ran:
        fields["run_count"] = 1
    if job.get("exit") is not None:
        fields["Exit_status"] = job["exit"]
    fields["Submit_arguments"] = job["arguments"]
    if state == "F":
        fields["history_timestamp"] = int(job["ended"])
    fields.update(project=job["project"], Submit_Host=job["host"])
    return fields


def substate_of_end(job: Json) -> int:
    """91 deleted, 92 finished, 93 failed."""
    if "deleted_by" in job:
        return 91
    return 93 if job.get("exit") else 92


def of_torque(job: Json, now: float, when: Callable[[float], Any]) -> Json:
    """The fields of Torque's qstat -f, in its order; `when` writes a time."""
    ran = "started" in job
    fields: Json = {
        "Job_Name": job["name"],
        "Job_Owner": "{}@{}".format(job["owner"], job["host"]),
    }
    if ran and "ended" in job:
        used = clock(job["ended"] - job["started"])
        fields["resources_used"] = {"cput": "00:00:00", "mem": "0kb", "walltime": used}
    fields.update(
        job_state=letter_of(job),
        queue=job["queue"],
        server=SERVER,
        Checkpoint="u",
        ctime=when(job["made"]),
    )
    if ran:
        fields["exec_host"] = slots(job)
        gpus = ["{}-gpu/{}".format(job["node"], index) for index in job["indices"]]
        if gpus:
            fields["exec_gpus"] = "+".join(reversed(gpus))
    asked = {name: text for name, text in job["resources"].items() if name != "epilogue"}
    fields.update(
        Hold_Types="u" if job["state"] == "H" else "n",
        Join_Path=job["join"],
        Keep_Files=job["keep"],
        Mail_Points="a",
        mtime=when(job["changed"]),
        Output_Path=job["output"],
        Priority=0,
        qtime=when(job["made"]),
        Rerunable="False" if job["rerun"] == "n" else "True",
        Resource_List={**asked, "nodect": 1},
    )
    if job.get("session"):
        fields["session_id"] = job["session"]
    variables = {
        "PBS_O_QUEUE": job["queue"],
        "PBS_O_WORKDIR": job["directory"],
        "PBS_O_HOST": job["host"],
    }
    fields["Variable_List"] = ",".join(map("=".join, variables.items()))
    fields.update(euser=job["owner"], queue_type="E")
    if job.get("comment"):
        fields["comment"] = job["comment"]
    fields["etime"] = when(job["made"])
    if job.get("exit") is not None:
        fields["exit_status"] = job["exit"]
    fields["submit_args"] = job["arguments"]
    if ran:
        fields["start_time"] = when(job["started"])
        if "ended" not in job and job["walltime"]:
            left = int(job["started"] + job["walltime"] - now)
            fields["Walltime"] = {"Remaining": max(left, 0)}
        fields["start_count"] = 1
    if "ended" in job:
        fields["comp_time"] = when(job["ended"])
    fields.update(submit_host=job["host"], init_work_dir=job["directory"], request_version=1)
    return fields
