"""qstat and pbsnodes: jobs, the queue, the server, the nodes, in the forms of both dialects."""

from __future__ import annotations

import sys

from forms import document, text, xml
from jobs import ctime, letter_of, of_openpbs, of_torque
from options import leave, number_of, options
from settings import KEEP_COMPLETED, QUEUE, SERVER, VERSIONS, Json, dialect, is_openpbs
from wire import ask


def chosen(operands: list[str], jobs: list[Json], history: bool) -> tuple[list[Json], int]:
    """The jobs that are asked for, and the exit status; complains about the others."""
    if not operands:
        over = "F" if is_openpbs() and not history else ""
        return [job for job in jobs if job["state"] != over], 0
    known = {job["number"]: job for job in jobs}
    found: list[Json] = []
    status = 0
    for word in operands:
        number = number_of(word)
        job = known.get(number) if number is not None else None
        if word == QUEUE:
            found += [job for job in jobs if job["state"] != "F"]
            continue
        if number is None:
            status, said = 170, "Unknown queue destination " + word
            if not is_openpbs():
                said = "Unknown queue destination " + word
        elif job is None:
            name = "{}.{}".format(number, SERVER)
            no = "Unknown Job Id " if is_openpbs() else "Unknown Job Id Error "
            status, said = 153, no + name
        elif is_openpbs() and job["state"] == "F" and not history:
            advice = " Job has finished, use -x or -H to obtain historical job information"
            status, said = 35, job["id"] + advice
        else:
            found.append(job)
            continue
        print("qstat: " + said, file=sys.stderr)
    return found, status


def server_fields(jobs: list[Json]) -> Json:
    """What `qstat -B -f` tells."""
    fields: Json = {
        "server_state": "Active",
        "scheduling": "True",
        "total_jobs": len(jobs),
        "default_queue": QUEUE,
        "pbs_version": VERSIONS[dialect()],
    }
    if is_openpbs():
        fields["job_history_enable"] = "True"
    else:
        fields["keep_completed"] = KEEP_COMPLETED
    return fields


def qstat(words: list[str]) -> None:
    """Tells of jobs, of the queue (-Q), of the server (-B)."""
    pairs, operands = options("qstat", "aBfF:HiG1nNqQrstTu:wx", words)
    given = dict(pairs)
    answer = ask({"do": "stat"})
    is_json = given.get("-F") == "json"
    if "-B" in given or "-Q" in given or "-q" in given:
        is_server = "-B" in given
        kind, name = ("Server", SERVER) if is_server else ("Queue", QUEUE)
        fields: Json = {"queue_type": "Execution", "enabled": "True", "started": "True"}
        if is_server:
            fields = server_fields(answer["jobs"])
        if is_json:
            print(document({kind: {name: fields}}))
        else:
            print("\n".join(["{}: {}".format(kind, name), *text(fields), ""]))
        return
    jobs, status = chosen(operands, answer["jobs"], "-x" in given)
    if "-u" in given:
        jobs = [job for job in jobs if job["owner"] in given["-u"].split(",")]
    print_jobs(jobs, status, given, answer["now"])
    raise SystemExit(status)


def print_jobs(jobs: list[Json], status: int, given: dict[str, str], now: float) -> None:
    """Prints jobs in the form the options ask for."""
    if "-f" not in given:
        print_table(jobs)
    elif is_openpbs() and given.get("-F") == "json":
        listed = {job["id"]: of_openpbs(job, now) for job in jobs}
        print(document({"Jobs": listed} if listed else {}))
    elif not is_openpbs() and "-x" in given:
        if jobs or status == 0:
            each = ({"Job_Id": job["id"], **of_torque(job, now, int)} for job in jobs)
            body = "".join(xml({"Job": job}) for job in each)
            print('<?xml version="1.0"?>\n<Data>{}</Data>'.format(body), end="")
    else:
        for job in jobs:
            fields = of_openpbs(job, now) if is_openpbs() else of_torque(job, now, ctime)
            print("\n".join(["Job Id: " + job["id"], *text(fields), ""]))


def print_table(jobs: list[Json]) -> None:
    """A line for each job."""
    if not jobs:
        return
    row = "{:<25} {:<16} {:<15} {:>8} {} {}"
    print(row.format("Job ID", "Name", "User", "Time Use", "S", "Queue"))
    print(row.format("-" * 25, "-" * 16, "-" * 15, "-" * 8, "-", "-" * 5))
    for job in jobs:
        cells = (job["id"], job["name"][:16], job["owner"], 0, letter_of(job), job["queue"])
        print(row.format(*cells))


def node_fields(name: str, node: Json, jobs: list[Json]) -> Json:
    """What pbsnodes tells of a node."""
    state = "free" if node["up"] else "down"
    here = [job for job in jobs if job["state"] == "R" and job["node"] == name]
    if is_openpbs():
        there = {"ncpus": node["cpus"], "mem": "{}kb".format(node["memory"] >> 10)}
        there.update(ngpus=node["gpus"], gpu_model=node["model"])
        used = {
            "ncpus": sum(job["want"]["cpus"] for job in here),
            "ngpus": sum(job["want"]["gpus"] for job in here),
        }
        return {"Mom": name, "state": state, "resources_available": there, "resources_assigned": used}
    fields = {"state": state, "power_state": "Running", "np": node["cpus"]}
    fields.update(properties=node["model"], ntype="cluster")
    if here:
        fields["jobs"] = ",".join("0/" + job["id"] for job in here)
    fields.update(mom_service_port=15002, mom_manager_port=15003, gpus=node["gpus"])
    return fields


def pbsnodes(words: list[str]) -> None:
    """Tells of nodes."""
    pairs, operands = options("pbsnodes", "aF:jlLSvxq", words)
    given = dict(pairs)
    answer = ask({"do": "stat"})
    for name in operands:
        if name not in answer["nodes"]:
            no = "Error: " if is_openpbs() else "Unknown node  MSG=cannot locate specified node "
            leave("pbsnodes", 1 if is_openpbs() else 170, no + name)
    names = operands or list(answer["nodes"])
    nodes = {name: node_fields(name, answer["nodes"][name], answer["jobs"]) for name in names}
    if given.get("-F") == "json":
        print(document({"nodes": nodes}))
    elif "-x" in given and not is_openpbs():
        each = (xml({"Node": {"name": name, **fields}}) for name, fields in nodes.items())
        print("<Data>{}</Data>".format("".join(each)))
    else:
        for name, fields in nodes.items():
            lines = [line.replace("    ", "     ", 1) for line in text(fields)]
            print("\n".join([name, *lines, ""]))
