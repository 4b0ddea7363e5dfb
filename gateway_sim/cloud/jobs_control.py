"""The jobs calls of boto3's `iot` client, over the one state machine; pure but for what it is given.

Parameters that have no meaning here are refused by name, like what the template may not hold.
"""

from __future__ import annotations

import json
import re
import urllib.parse
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from gateway_sim.cloud.jobs_model import STATUSES, Execution, Job, Refusal, checked_details, thing_arn
from gateway_sim.cloud.jobs_state import Jobs

# boto3's models: exception and HTTP status for each word of the state machine.
EXCEPTIONS: Final = {
    "InvalidRequest": ("InvalidRequestException", "400 Bad Request"),
    "ResourceNotFound": ("ResourceNotFoundException", "404 Not Found"),
    "ResourceAlreadyExists": ("ResourceAlreadyExistsException", "409 Conflict"),
    "InvalidStateTransition": ("InvalidStateTransitionException", "409 Conflict"),
    "VersionMismatch": ("VersionConflictException", "409 Conflict"),
}
MAX_RESULTS: Final = 250  # LaserMaxResults
_CREATE: Final = ("targets", "document", "description", "targetSelection", "timeoutConfig")

Body = dict[str, Any]
Found = re.Match[str]


@dataclass(frozen=True, slots=True)
class Call:
    """One request as its handler sees it."""

    path: tuple[str, ...]  # what the route's groups matched
    query: Mapping[str, str]
    body: Body

    @property
    def force(self) -> bool:
        return self.query.get("force") == "true"


@dataclass(frozen=True, slots=True)
class JobsControl:
    """`resolve` turns a target's ARN into things; it raises Refusal for one that is not there."""

    jobs: Jobs
    resolve: Callable[[str], Sequence[str]]

    def route(self, method: str, target: str) -> Callable[[bytes], Body] | None:
        """What to do with a request's body, or None for a call that is not about jobs."""
        url = urllib.parse.urlsplit(target)
        query = dict(urllib.parse.parse_qsl(url.query))
        for verb, pattern, handler in _ROUTES:
            found = pattern.fullmatch(url.path)
            if verb == method and found is not None:
                path = tuple(urllib.parse.unquote(part) for part in found.groups())
                return lambda body: handler(self, Call(path, query, _parse(body)))
        return None

    def create(self, call: Call) -> Body:
        for name in call.body:
            if name not in _CREATE:
                raise Refusal("InvalidRequest", f"{name} is not simulated")
        if call.body.get("targetSelection", "SNAPSHOT") != "SNAPSHOT":
            raise Refusal("InvalidRequest", "only targetSelection SNAPSHOT is simulated")
        text = call.body.get("document")
        if text is None:
            raise Refusal("InvalidRequest", "document is missing")
        if "${aws:iot:" in text:
            raise Refusal("InvalidRequest", "placeholders in a document are not simulated")
        targets = call.body.get("targets", [])
        things = [thing for target in targets for thing in self.resolve(target)]
        if not things:
            raise Refusal("InvalidRequest", "the targets hold no thing")
        job = self.jobs.create(
            call.path[0],
            text,
            targets,
            things,
            description=call.body.get("description", ""),
            timeout_minutes=call.body.get("timeoutConfig", {}).get("inProgressTimeoutInMinutes"),
        )
        return _named(job)

    def describe(self, call: Call) -> Body:
        return {"job": _whole(self.jobs.job(call.path[0]))}

    def document(self, call: Call) -> Body:
        return {"document": self.jobs.job(call.path[0]).text}

    def cancel(self, call: Call) -> Body:
        job = self.jobs.cancel(
            call.path[0],
            force=call.force,
            reason_code=call.body.get("reasonCode"),
            comment=call.body.get("comment"),
        )
        return _named(job)

    def delete(self, call: Call) -> Body:
        self.jobs.delete(call.path[0], force=call.force)
        return {}

    def list(self, call: Call) -> Body:
        found = [
            _summary(job)
            for job in reversed(self.jobs.jobs.values())  # the newest first
            if call.query.get("status") in (None, job.status)
        ]
        return _page(call, "jobs", found)

    def executions_of_job(self, call: Call) -> Body:
        wanted = _status(call)
        found = [
            {"thingArn": thing_arn(one.thing), "jobExecutionSummary": _execution_summary(one)}
            for one in self.jobs.job(call.path[0]).executions.values()
            if wanted in (None, one.status)
        ]
        return _page(call, "executionSummaries", found)

    def executions_of_thing(self, call: Call) -> Body:
        wanted = _status(call)
        found = [
            {"jobId": job.job_id, "jobExecutionSummary": _execution_summary(job.executions[call.path[0]])}
            for job in reversed(self.jobs.jobs.values())
            if call.path[0] in job.executions and wanted in (None, job.executions[call.path[0]].status)
        ]
        return _page(call, "executionSummaries", found)

    def describe_execution(self, call: Call) -> Body:
        thing, job_id = call.path
        found = self.jobs.execution(thing, job_id, int(call.query.get("executionNumber", "1")))
        whole: Body = {
            "jobId": job_id,
            "status": found.status,
            "forceCanceled": found.force_canceled,
            "statusDetails": {"detailsMap": found.details},
            "thingArn": thing_arn(thing),
            **found.times(),
            "executionNumber": found.number,
            "versionNumber": found.version,
        }
        if found.deadline is not None:
            whole["approximateSecondsBeforeTimedOut"] = max(0, int(found.deadline - self.jobs.now()))
        return {"execution": whole}

    def cancel_execution(self, call: Call) -> Body:
        thing, job_id = call.path
        self.jobs.cancel_execution(
            thing,
            job_id,
            force=call.force,
            version=call.body.get("expectedVersion"),
            details=checked_details(call.body.get("statusDetails")),
        )
        return {}


def failure(refusal: Refusal) -> tuple[str, str, Body]:
    """HTTP status, exception and body."""
    name, status = EXCEPTIONS.get(refusal.code, EXCEPTIONS["InvalidRequest"])
    return status, name, {"message": refusal.message}


_ROUTES: Final[Sequence[tuple[str, re.Pattern[str], Callable[[JobsControl, Call], Body]]]] = [
    (verb, re.compile(path), handler)
    for verb, path, handler in (
        ("PUT", "/jobs/([^/]+)", JobsControl.create),
        ("GET", "/jobs/([^/]+)", JobsControl.describe),
        ("DELETE", "/jobs/([^/]+)", JobsControl.delete),
        ("GET", "/jobs", JobsControl.list),
        ("GET", "/jobs/([^/]+)/job-document", JobsControl.document),
        ("PUT", "/jobs/([^/]+)/cancel", JobsControl.cancel),
        ("GET", "/jobs/([^/]+)/things", JobsControl.executions_of_job),
        ("GET", "/things/([^/]+)/jobs", JobsControl.executions_of_thing),
        ("GET", "/things/([^/]+)/jobs/([^/]+)", JobsControl.describe_execution),
        ("PUT", "/things/([^/]+)/jobs/([^/]+)/cancel", JobsControl.cancel_execution),
    )
]


def _parse(body: bytes) -> Body:
    if not body:
        return {}
    try:
        found = json.loads(body)
    except ValueError as error:
        raise Refusal("InvalidRequest", f"the body is not JSON: {error}") from None
    if not isinstance(found, dict):
        raise Refusal("InvalidRequest", "the body is no JSON object")
    return found


def _status(call: Call) -> str | None:
    wanted = call.query.get("status")
    if wanted is not None and wanted not in STATUSES:
        raise Refusal("InvalidRequest", f"{wanted} is no status of an execution")
    return wanted


def _page(call: Call, name: str, found: Sequence[Body]) -> Body:
    """`nextToken` is the index that the next page starts at."""
    try:
        start, size = int(call.query.get("nextToken", "0")), int(call.query.get("maxResults", MAX_RESULTS))
    except ValueError:
        raise Refusal("InvalidRequest", "nextToken or maxResults is no number") from None
    if start < 0 or not 1 <= size <= MAX_RESULTS:
        raise Refusal("InvalidRequest", f"maxResults is 1 to {MAX_RESULTS}")
    more = {"nextToken": str(start + size)} if start + size < len(found) else {}
    return {name: found[start : start + size], **more}


def _named(job: Job) -> Body:
    return {"jobArn": job.arn, "jobId": job.job_id, "description": job.description}


def _summary(job: Job) -> Body:
    completed = {} if job.completed_at is None else {"completedAt": job.completed_at}
    return {
        "jobArn": job.arn,
        "jobId": job.job_id,
        "targetSelection": "SNAPSHOT",
        "status": job.status,
        "createdAt": job.created_at,
        "lastUpdatedAt": job.last_updated_at,
        **completed,
    }


def _whole(job: Job) -> Body:
    optional = {
        "reasonCode": job.reason_code,
        "comment": job.comment,
        "timeoutConfig": None
        if job.timeout_minutes is None
        else {"inProgressTimeoutInMinutes": job.timeout_minutes},
    }
    return {
        **_summary(job),
        "description": job.description,
        "targets": list(job.targets),
        "forceCanceled": job.force_canceled,
        "jobProcessDetails": job.counts(),
        **{name: value for name, value in optional.items() if value is not None},
    }


def _execution_summary(found: Execution) -> Body:
    return {"status": found.status, **found.times(), "executionNumber": found.number}


def things_of(target: str, groups: Callable[[str], Iterable[str]]) -> Sequence[str]:
    """The things behind a target's ARN; `groups` lists a thing group."""
    kind, _, name = target.rpartition(":")[2].partition("/")
    if not name or kind not in ("thing", "thinggroup"):
        raise Refusal("InvalidRequest", f"{target[:200]!r} is no ARN of a thing or thing group")
    return [name] if kind == "thing" else list(groups(name))
