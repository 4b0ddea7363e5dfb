"""`headgate jobs`: durable requests to one gateway or a fleet, and their replies."""

from __future__ import annotations

import argparse
import time
from typing import Final

from headgate_cloud.cli import asking
from headgate_cloud.cli.cloud import Cloud, chosen, chosen_things
from headgate_cloud.cli.commands.write import agreed
from headgate_cloud.cli.errors import DONE, NO_ANSWER, REFUSED, USAGE, Complaint
from headgate_cloud.cli.jobs import PENDING, Execution, Jobs, new_id
from headgate_cloud.cli.output import Column, Output, ago, plain
from headgate_cloud.cli.replies import Undecodable
from headgate_cloud.cli.replies import show as show_reply
from headgate_cloud.cli.session import now_ms
from headgate_cloud.cli.tables import CloudTables
from headgate_cloud.jobdocs import TooLarge, job_document

WAIT_S: Final = 600.0
LOOK_S: Final = 1.0  # AWS tells nobody but rules and devices that an execution has changed
COLOURS: Final = {"SUCCEEDED": "green", "COMPLETED": "green", "QUEUED": "dim", "IN_PROGRESS": "yellow"}


def create(given: argparse.Namespace) -> int:
    question: asking.Question = getattr(asking, given.ask)(given, now_ms())
    cloud = chosen(given)
    things = chosen_things(given, cloud) if given.thing or not given.group else []
    if question.op == "write":
        agreed(given, things, given.group)
    job_id = given.id or new_id(question.op)
    deadline_ms = now_ms() + round(given.deadline * 1000)
    try:
        document = job_document(question.op, question.args, deadline_ms=deadline_ms)
    except TooLarge as error:
        raise Complaint(str(error), USAGE) from None
    jobs = Jobs(cloud.client("iot"))
    jobs.create(job_id, things, given.group, document)
    out = Output(as_json=given.json)
    if given.wait:
        return _wait(cloud, jobs, job_id, given.timeout or WAIT_S, out)
    if given.json:
        out.record({"job": job_id, "deadline_ms": deadline_ms})
    else:
        out.say(f"[bold]{plain(job_id)}[/]  created; headgate jobs show {plain(job_id)}")
    return DONE


def list_(given: argparse.Namespace) -> int:
    if given.limit < 1:
        raise ValueError("--limit is 1 or more")
    found = Jobs(chosen(given).client("iot")).newest(given.status, given.limit)
    out = Output(as_json=given.json)
    if given.json:
        for job in found:
            created_ms = round(job["createdAt"].timestamp() * 1000)
            out.record({"job": job["jobId"], "status": job["status"], "created_ms": created_ms})
        return DONE
    if not found:
        out.say("[dim]no jobs[/]")
        return DONE
    rows = [
        [
            plain(job["jobId"]),
            _status(job["status"]),
            ago(round(job["createdAt"].timestamp() * 1000), now_ms()),
        ]
        for job in found
    ]
    out.table([Column("Job", whole=True), Column("Status"), Column("Made", right=True)], rows)
    return DONE


def show(given: argparse.Namespace) -> int:
    cloud = chosen(given)
    jobs = Jobs(cloud.client("iot"))
    return _show(cloud, jobs, given.id, Output(as_json=given.json), asking.things(given.thing))


def cancel(given: argparse.Namespace) -> int:
    jobs = Jobs(chosen(given).client("iot"))
    out = Output(as_json=given.json)
    named = asking.things(given.thing)
    for thing in named:
        jobs.cancel_on(given.id, thing, force=given.force)
    if not named:
        jobs.cancel(given.id, force=given.force)
    if given.json:
        out.record({"job": given.id, "canceled": named or "all"})
        return DONE
    left = (
        [] if given.force else [one.thing for one in jobs.executions(given.id) if one.status == "IN_PROGRESS"]
    )
    still = f"; still in progress on {', '.join(left[:5])} (--force cancels that too)" if left else ""
    out.say(f"[bold]{plain(given.id)}[/]  canceled{plain(still)}")
    return DONE


def _wait(cloud: Cloud, jobs: Jobs, job_id: str, timeout_s: float, out: Output) -> int:
    end = time.monotonic() + timeout_s
    with out.bar(f"job {job_id}", None, in_bytes=False) as bar:
        while True:
            found = list(jobs.executions(job_id))
            left = [one for one in found if one.status in PENDING]
            bar(len(found) - len(left), len(found))
            if (found and not left) or time.monotonic() >= end:
                break
            time.sleep(LOOK_S)
    _await_replies(cloud, job_id, found, min(end, time.monotonic() + 15.0))
    code = _show(cloud, jobs, job_id, out, [])
    if left:
        out.note(f"headgate: {len(left)} of {len(found)} gateways are not done; headgate jobs show {job_id}")
        return NO_ANSWER
    return code


def _await_replies(cloud: Cloud, job_id: str, found: list[Execution], end: float) -> None:
    """A reply takes the way of all reports, so it comes a moment after the execution's end."""
    tables = CloudTables(cloud)
    missing = [one.thing for one in found if one.status in ("SUCCEEDED", "FAILED", "REJECTED")]
    while missing and time.monotonic() < end:
        missing = [thing for thing in missing if tables.reply(thing, job_id) is None]
        if missing:
            time.sleep(LOOK_S)


def _show(cloud: Cloud, jobs: Jobs, job_id: str, out: Output, only: list[str]) -> int:
    job = jobs.describe(job_id)
    tables = CloudTables(cloud)
    code = DONE
    if not out.as_json:
        out.say(f"[bold]{plain(job_id)}[/]  {_status(job['status'])}")
    for one in jobs.executions(job_id):
        if only and one.thing not in only:
            continue
        details = {} if one.status == "QUEUED" else jobs.details(job_id, one.thing)
        reply = None if one.status == "QUEUED" else tables.reply(one.thing, job_id)
        if one.status not in ("SUCCEEDED", *PENDING):
            code = REFUSED
        if out.as_json:
            out.record(
                {
                    "job": job_id,
                    "thing": one.thing,
                    "status": one.status,
                    "queued_ms": one.queued_ms,
                    "started_ms": one.started_ms,
                    "updated_ms": one.updated_ms,
                    "details": details,
                    "reply": reply,
                }
            )
            continue
        said = " ".join(filter(None, [details.get("code"), details.get("detail")]))
        since = ago(one.updated_ms or one.queued_ms, now_ms())
        head = f"{_status(one.status)} [dim]{since} ago[/]"
        if reply is None or (reply["status"] != "ok" and "writes" not in (reply["result"] or {})):
            out.say(f"[bold]{plain(one.thing)}[/]  {head}  {plain(said)}")
            continue
        try:
            show_reply(out, one.thing, reply, now_ms(), head)
        except Undecodable as error:
            out.say(f"  [red]its result cannot be read: {plain(error)}[/]")
    return code


def _status(word: str) -> str:
    return f"[{COLOURS.get(word, 'red')}]{plain(word)}[/]"
