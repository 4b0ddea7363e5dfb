"""What AWS IoT Jobs is made of: jobs, executions, their limits, and the errors its two planes answer.

Sources: the AWS IoT developer guide ("Jobs device MQTT API operations", "Jobs notifications"), the service
models of boto3 (`iot`, `iot-jobs-data`) and the service quotas page. All times here are seconds since 1970.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from gateway_sim.cloud.template import ACCOUNT, REGION

MAX_DOCUMENT_BYTES: Final = 32_768
MAX_DETAILS: Final = 10
MAX_DETAIL_CHARACTERS: Final = 1_024
MIN_TIMEOUT_MINUTES: Final = 1
MAX_TIMEOUT_MINUTES: Final = 10_080  # seven days
NO_STEP_TIMEOUT: Final = -1  # cancels the step timer that is running
MAX_NOTIFIED: Final = 15  # "A ListNotification contains a list of no more than 15 pending job executions"
NEXT: Final = "$next"

JOB_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DETAIL_KEY: Final = re.compile(r"[A-Za-z0-9:_-]{1,128}")

QUEUED: Final = "QUEUED"
IN_PROGRESS: Final = "IN_PROGRESS"
SUCCEEDED: Final = "SUCCEEDED"
FAILED: Final = "FAILED"
REJECTED: Final = "REJECTED"
TIMED_OUT: Final = "TIMED_OUT"
CANCELED: Final = "CANCELED"
REMOVED: Final = "REMOVED"
COMPLETED: Final = "COMPLETED"  # of a job, not of an execution
STATUSES: Final = (QUEUED, IN_PROGRESS, SUCCEEDED, FAILED, TIMED_OUT, REJECTED, REMOVED, CANCELED)
PENDING: Final = (IN_PROGRESS, QUEUED)  # in the order of the pending list
BY_DEVICE: Final = (IN_PROGRESS, SUCCEEDED, FAILED, REJECTED)  # what a device may set

Document = Mapping[str, object]


class Refusal(Exception):
    """`code` is the data plane's word; `state` goes along where the guide says so."""

    def __init__(self, code: str, message: str, state: Document | None = None) -> None:
        super().__init__(message)
        self.code, self.message, self.state = code, message, state


@dataclass(slots=True)
class Execution:
    """One job on one thing. `order` is its place in the queue: seconds are too coarse to tell."""

    thing: str
    job_id: str
    order: int
    queued_at: int
    last_updated_at: int
    status: str = QUEUED
    details: dict[str, str] = field(default_factory=dict)
    started_at: int | None = None
    version: int = 1
    number: int = 1
    force_canceled: bool = False
    step_deadline: float | None = None
    job_deadline: float | None = None

    @property
    def pending(self) -> bool:
        return self.status in PENDING

    @property
    def deadline(self) -> float | None:
        """When it times out: the earlier of the step's timer and the job's."""
        return min((at for at in (self.step_deadline, self.job_deadline) if at is not None), default=None)

    def times(self) -> dict[str, object]:
        started = {} if self.started_at is None else {"startedAt": self.started_at}
        return {"queuedAt": self.queued_at, **started, "lastUpdatedAt": self.last_updated_at}

    def summary(self) -> dict[str, object]:
        """The device side's JobExecutionSummary."""
        return {
            "jobId": self.job_id,
            **self.times(),
            "executionNumber": self.number,
            "versionNumber": self.version,
        }

    def state(self) -> dict[str, object]:
        """JobExecutionState."""
        return {"status": self.status, "statusDetails": dict(self.details), "versionNumber": self.version}

    def whole(self, now: float, document: Document | None) -> dict[str, object]:
        """The device side's JobExecution."""
        found: dict[str, object] = {"thingName": self.thing, "status": self.status, **self.summary()}
        if self.details:
            found["statusDetails"] = dict(self.details)
        if self.deadline is not None:
            found["approximateSecondsBeforeTimedOut"] = max(0, int(self.deadline - now))
        if document is not None:
            found["jobDocument"] = document
        return found


@dataclass(slots=True)
class Job:
    """A snapshot job: its executions are made when it is."""

    job_id: str
    text: str  # the document as it was given
    document: Document
    targets: tuple[str, ...]  # ARNs
    created_at: int
    last_updated_at: int
    description: str = ""
    timeout_minutes: int | None = None
    status: str = IN_PROGRESS
    completed_at: int | None = None
    force_canceled: bool = False
    reason_code: str | None = None
    comment: str | None = None
    executions: dict[str, Execution] = field(default_factory=dict)  # by thing

    @property
    def arn(self) -> str:
        return f"arn:aws:iot:{REGION}:{ACCOUNT}:job/{self.job_id}"

    def counts(self) -> dict[str, int]:
        """JobProcessDetails' numbers."""
        names = {QUEUED: "Queued", IN_PROGRESS: "InProgress", TIMED_OUT: "TimedOut"}
        return {
            f"numberOf{names.get(status, status.title())}Things": sum(
                found.status == status for found in self.executions.values()
            )
            for status in STATUSES
        }


def thing_arn(thing: str) -> str:
    return f"arn:aws:iot:{REGION}:{ACCOUNT}:thing/{thing}"


def checked_details(value: object) -> dict[str, str] | None:
    """statusDetails, or None where there are none; raises Refusal."""
    if value is None:
        return None
    if not isinstance(value, dict) or len(value) > MAX_DETAILS:
        raise Refusal("InvalidRequest", f"statusDetails: an object of at most {MAX_DETAILS} pairs is wanted")
    for key, text in value.items():
        if not _DETAIL_KEY.fullmatch(key):
            raise Refusal(
                "InvalidRequest", f"statusDetails: key {key[:140]!r} is not [a-zA-Z0-9:_-]{{1,128}}"
            )
        if not isinstance(text, str) or not 1 <= len(text) <= MAX_DETAIL_CHARACTERS:
            raise Refusal(
                "InvalidRequest",
                f"statusDetails.{key}: a string of 1 to {MAX_DETAIL_CHARACTERS} characters is wanted",
            )
        if any(unicodedata.category(c).startswith("C") for c in text):
            raise Refusal("InvalidRequest", f"statusDetails.{key}: holds a control character ([^\\p{{C}}]+)")
    return dict(value)
