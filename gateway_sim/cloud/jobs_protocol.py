"""The jobs data plane's messages: a topic and a payload to the replies that AWS IoT gives."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from gateway_sim.cloud.jobs_model import (
    IN_PROGRESS,
    JOB_ID,
    NEXT,
    QUEUED,
    Document,
    Execution,
    Refusal,
    checked_details,
)
from gateway_sim.cloud.jobs_state import Jobs

MAX_TOKEN: Final = 64
_TOPIC: Final = re.compile(r"\$aws/things/([^/]+)/jobs/(.+)")
_SAID_BY_AWS: Final = re.compile(r"notify|notify-next|.*/accepted|.*/rejected")


@dataclass(frozen=True, slots=True)
class Reply:
    """One message to publish."""

    topic: str
    body: Document

    def payload(self) -> bytes:
        return json.dumps(self.body, separators=(",", ":")).encode()


@dataclass(slots=True)
class Protocol:
    """Answers requests from a `Jobs`; `throttling` has it refuse them all, as AWS does beyond its rates."""

    jobs: Jobs
    throttling: bool = False

    def answer(self, topic: str, payload: bytes) -> list[Reply]:
        """The reply, and then what things are told because of it; empty for what is no request."""
        found = _TOPIC.fullmatch(topic)
        if found is None or _SAID_BY_AWS.fullmatch(found[2]):
            return []
        token: str | None = None
        try:
            request = _parse(payload)
            token = _text(request, "clientToken", MAX_TOKEN)
            if self.throttling:
                raise Refusal("RequestThrottled", "the request was throttled")
            verdict, body = "accepted", self._carry_out(found[1], found[2].split("/"), request)
        except Refusal as refusal:
            state = {} if refusal.state is None else {"executionState": refusal.state}
            verdict, body = "rejected", {"code": refusal.code, "message": refusal.message, **state}
        echo = {} if token is None else {"clientToken": token}
        reply = Reply(f"{topic}/{verdict}", {**echo, "timestamp": int(self.jobs.now()), **body})
        return [reply, *self.notices()]

    def notices(self) -> list[Reply]:
        """What things have to be told by now."""
        return [
            Reply(f"$aws/things/{notice.thing}/jobs/{notice.topic}", notice.body)
            for notice in self.jobs.take_notices()
        ]

    def _carry_out(self, thing: str, words: list[str], request: Document) -> dict[str, object]:
        match words:
            case ["get"]:
                return self._list(thing)
            case ["start-next"]:
                found = self.jobs.start_next(
                    thing,
                    checked_details(request.get("statusDetails")),
                    _integer(request, "stepTimeoutInMinutes"),
                )
                return self._execution(found, with_document=True)
            case [job_id, "get"] if job_id == NEXT or JOB_ID.fullmatch(job_id):
                wanted = _boolean(request, "includeJobDocument", True)
                found = self.jobs.describe(thing, job_id, _integer(request, "executionNumber"))
                return self._execution(found, with_document=wanted)
            case [job_id, "update"] if JOB_ID.fullmatch(job_id):
                return self._update(thing, job_id, request)
            case _:
                raise Refusal("InvalidTopic", "the topic maps to no operation of AWS IoT Jobs")

    def _list(self, thing: str) -> dict[str, object]:
        pending = self.jobs.pending(thing)
        return {
            "inProgressJobs": [one.summary() for one in pending if one.status == IN_PROGRESS],
            "queuedJobs": [one.summary() for one in pending if one.status == QUEUED],
        }

    def _execution(self, found: Execution | None, *, with_document: bool) -> dict[str, object]:
        if found is None:
            return {}
        document = self.jobs.jobs[found.job_id].document if with_document else None
        return {"execution": found.whole(self.jobs.now(), document)}

    def _update(self, thing: str, job_id: str, request: Document) -> dict[str, object]:
        status = _text(request, "status", 64)
        if status is None:
            raise Refusal("InvalidRequest", "status: is missing; it must be specified on every update")
        with_state = _boolean(request, "includeJobExecutionState", False)
        with_document = _boolean(request, "includeJobDocument", False)
        found = self.jobs.update(
            thing,
            job_id,
            status,
            details=checked_details(request.get("statusDetails")),
            version=_integer(request, "expectedVersion"),
            number=_integer(request, "executionNumber"),
            step_minutes=_integer(request, "stepTimeoutInMinutes"),
        )
        body: dict[str, object] = {}
        if with_state:
            body["executionState"] = found.state()
        if with_document:
            body["jobDocument"] = self.jobs.jobs[job_id].document
        return body


def _parse(payload: bytes) -> Mapping[str, object]:
    try:
        found = json.loads(payload.decode())
    except (ValueError, RecursionError) as error:
        raise Refusal("InvalidJson", f"the payload is not UTF-8 JSON: {error}") from None
    if not isinstance(found, dict):
        raise Refusal("InvalidRequest", "the payload is no JSON object")
    return found


def _text(request: Document, name: str, longest: int) -> str | None:
    value = request.get(name)
    if value is not None and (not isinstance(value, str) or not 1 <= len(value) <= longest):
        raise Refusal("InvalidRequest", f"{name}: a string of 1 to {longest} characters is wanted")
    return value


def _integer(request: Document, name: str) -> int | None:
    """The guide writes expectedVersion as a string, "number", so one of digits is taken too."""
    value = request.get(name)
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,18}", value):
        return int(value)
    if value is not None and type(value) is not int:
        raise Refusal("InvalidRequest", f"{name}: an integer is wanted")
    return value


def _boolean(request: Document, name: str, default: bool) -> bool:
    value = request.get(name)
    if value is None:
        return default
    if not isinstance(value, bool):
        raise Refusal("InvalidRequest", f"{name}: true or false is wanted")
    return value
