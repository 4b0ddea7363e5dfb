"""The state machine of AWS IoT Jobs: pure, with the time given; what has to be told things is collected.

Where the guide is silent, what is done here is written in docs/decisions/0030-jobs-data-plane.md.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from gateway_sim.cloud.jobs_model import (
    BY_DEVICE,
    CANCELED,
    COMPLETED,
    IN_PROGRESS,
    JOB_ID,
    MAX_DOCUMENT_BYTES,
    MAX_NOTIFIED,
    MAX_TIMEOUT_MINUTES,
    MIN_TIMEOUT_MINUTES,
    NEXT,
    NO_STEP_TIMEOUT,
    PENDING,
    QUEUED,
    REMOVED,
    TIMED_OUT,
    Document,
    Execution,
    Job,
    Refusal,
)


@dataclass(frozen=True, slots=True)
class Notice:
    """One message for a thing, on `notify` or `notify-next`."""

    thing: str
    topic: str
    body: Document


@dataclass(slots=True)
class Jobs:
    """All jobs of an account. Every call may add to `notices`, which the edge takes and publishes."""

    now: Callable[[], float]
    jobs: dict[str, Job] = field(default_factory=dict)
    notices: list[Notice] = field(default_factory=list)
    _order: itertools.count[int] = field(default_factory=itertools.count)
    _next: dict[str, tuple[str, int]] = field(default_factory=dict)  # thing: what it was last told is next

    # ---- what operators do
    def create(
        self,
        job_id: str,
        text: str,
        targets: Sequence[str],
        things: Iterable[str],
        *,
        description: str = "",
        timeout_minutes: int | None = None,
    ) -> Job:
        """Queue a document on things (`targets` are the ARNs they were resolved from); raises Refusal."""
        if not JOB_ID.fullmatch(job_id):
            raise Refusal("InvalidRequest", f"{job_id[:80]!r} is no job id: [a-zA-Z0-9_-]{{1,64}}")
        if job_id in self.jobs:
            raise Refusal("ResourceAlreadyExists", f"job {job_id} exists already")
        if len(text.encode()) > MAX_DOCUMENT_BYTES:
            raise Refusal("InvalidRequest", f"the document is longer than {MAX_DOCUMENT_BYTES} B")
        try:
            document = json.loads(text)
        except ValueError as error:
            raise Refusal("InvalidRequest", f"the document is not JSON: {error}") from None
        if not isinstance(document, dict):
            raise Refusal("InvalidRequest", "the document is no JSON object")
        if timeout_minutes is not None:
            _check_minutes(timeout_minutes, "inProgressTimeoutInMinutes")
        at = int(self.now())
        job = Job(job_id, text, document, tuple(targets), at, at, description, timeout_minutes)
        self.jobs[job_id] = job
        for thing in dict.fromkeys(things):
            job.executions[thing] = Execution(thing, job_id, next(self._order), at, at)
            self._tell(thing)
        return job

    def cancel(
        self, job_id: str, *, force: bool = False, reason_code: str | None = None, comment: str | None = None
    ) -> Job:
        """Queued executions are canceled; those in progress only by force."""
        job = self.job(job_id)
        if job.status != IN_PROGRESS:
            raise Refusal("InvalidRequest", f"job {job_id} is {job.status}")
        self._touch(job, CANCELED)
        job.force_canceled, job.reason_code, job.comment = force, reason_code, comment
        for found in job.executions.values():
            if found.status == QUEUED or (force and found.pending):
                found.force_canceled = found.status == IN_PROGRESS
                self._end(found, CANCELED)
        return job

    def cancel_execution(
        self,
        thing: str,
        job_id: str,
        *,
        force: bool = False,
        version: int | None = None,
        details: dict[str, str] | None = None,
    ) -> None:
        """One thing's execution; raises Refusal where it is over, or in progress and not forced."""
        found = self.execution(thing, job_id)
        if version is not None and version != found.version:
            raise Refusal("VersionMismatch", f"version {found.version} is stored, {version} was expected")
        if not found.pending or (found.status == IN_PROGRESS and not force):
            raise Refusal("InvalidStateTransition", f"the execution is {found.status}")
        found.force_canceled = found.status == IN_PROGRESS
        found.details = found.details if details is None else details
        self._end(found, CANCELED)
        self._complete(self.jobs[job_id])

    def delete(self, job_id: str, *, force: bool = False) -> None:
        """Only of a job that is over, or by force."""
        job = self.job(job_id)
        if job.status == IN_PROGRESS and not force:
            raise Refusal("InvalidStateTransition", f"job {job_id} is {job.status}")
        for found in job.executions.values():
            if found.pending:
                self._end(found, REMOVED)
        del self.jobs[job_id]

    def job(self, job_id: str) -> Job:
        if job_id not in self.jobs:
            raise Refusal("ResourceNotFound", f"there is no job {job_id}")
        return self.jobs[job_id]

    # ---- what things do
    def pending(self, thing: str) -> list[Execution]:
        """Those in progress first, then those queued, each in the order in which they were queued."""
        found = [job.executions[thing] for job in self.jobs.values() if thing in job.executions]
        return sorted(
            (one for one in found if one.pending), key=lambda one: (PENDING.index(one.status), one.order)
        )

    def execution(self, thing: str, job_id: str, number: int | None = None) -> Execution:
        """Raises Refusal; there is one execution per job and thing, number 1 (retries are not simulated)."""
        job = self.jobs.get(job_id)
        found = None if job is None else job.executions.get(thing)
        if found is None or number not in (None, found.number):
            which = "execution" if number is None else f"execution {number}"
            raise Refusal("ResourceNotFound", f"{thing} has no {which} of job {job_id}")
        return found

    def describe(self, thing: str, job_id: str, number: int | None = None) -> Execution | None:
        """`$next` may be nothing; an execution that is over is refused."""
        if job_id == NEXT:
            return next(iter(self.pending(thing)), None)
        found = self.execution(thing, job_id, number)
        if not found.pending:
            raise Refusal("TerminalStateReached", f"the execution is {found.status}")
        return found

    def start_next(
        self, thing: str, details: dict[str, str] | None = None, step_minutes: int | None = None
    ) -> Execution | None:
        """Put the next one in progress; one that is already so is given as it is."""
        if step_minutes is not None:
            _check_minutes(step_minutes, "stepTimeoutInMinutes")
        found = next(iter(self.pending(thing)), None)
        if found is not None and found.status == QUEUED:
            self._progress(found, details, step_minutes)
        return found

    def update(
        self,
        thing: str,
        job_id: str,
        status: str,
        *,
        details: dict[str, str] | None = None,
        version: int | None = None,
        number: int | None = None,
        step_minutes: int | None = None,
    ) -> Execution:
        """What a device reports; raises Refusal."""
        if status not in BY_DEVICE:
            raise Refusal("InvalidRequest", f"status: one of {', '.join(BY_DEVICE)} is wanted")
        if step_minutes not in (None, NO_STEP_TIMEOUT):
            _check_minutes(step_minutes, "stepTimeoutInMinutes")
        found = self.execution(thing, job_id, number)
        if version is not None and version != found.version:
            raise Refusal(
                "VersionMismatch",
                f"version {found.version} is stored, {version} was expected",
                found.state(),
            )
        if not found.pending:
            raise Refusal(
                "InvalidStateTransition", f"the execution is {found.status}, not {status}", found.state()
            )
        if status == IN_PROGRESS:
            self._progress(found, details, step_minutes)
        else:
            found.details = found.details if details is None else details
            found.version += 1
            self._end(found, status)
            self._complete(self.jobs[job_id])
        return found

    # ---- time
    def next_deadline(self) -> float | None:
        """When the next execution times out, if any does."""
        found = (one.deadline for job in self.jobs.values() for one in job.executions.values())
        return min((at for at in found if at is not None), default=None)

    def expire(self) -> None:
        """Time out what is due."""
        at = self.now()
        for job in self.jobs.values():
            for found in job.executions.values():
                if found.deadline is not None and found.deadline <= at:
                    self._end(found, TIMED_OUT)
                    self._complete(job)

    def take_notices(self) -> list[Notice]:
        taken, self.notices = self.notices, []
        return taken

    # ---- inside
    def _progress(self, found: Execution, details: dict[str, str] | None, step_minutes: int | None) -> None:
        started = found.status == QUEUED
        at = self.now()
        if started:
            found.status, found.started_at = IN_PROGRESS, int(at)
            minutes = self.jobs[found.job_id].timeout_minutes
            found.job_deadline = None if minutes is None else at + minutes * 60
        found.details = found.details if details is None else details
        if step_minutes is not None:
            found.step_deadline = None if step_minutes == NO_STEP_TIMEOUT else at + step_minutes * 60
        found.version += 1
        found.last_updated_at = int(at)
        if started:
            self._tell(found.thing)

    def _end(self, found: Execution, status: str) -> None:
        found.status, found.last_updated_at = status, int(self.now())
        found.step_deadline = found.job_deadline = None
        self._tell(found.thing)

    def _complete(self, job: Job) -> None:
        if job.status == IN_PROGRESS and not any(found.pending for found in job.executions.values()):
            self._touch(job, COMPLETED)

    def _touch(self, job: Job, status: str) -> None:
        job.status = status
        job.last_updated_at = job.completed_at = int(self.now())

    def _tell(self, thing: str) -> None:
        """The list has changed; whether what is next has too is found by comparing."""
        listed = self.pending(thing)
        at = int(self.now())
        by_status = {
            status: [one.summary() for one in listed[:MAX_NOTIFIED] if one.status == status]
            for status in PENDING
        }
        filled = {status: found for status, found in by_status.items() if found}
        self.notices.append(Notice(thing, "notify", {"timestamp": at, "jobs": filled}))
        first = (listed[0].job_id, listed[0].order) if listed else None
        if first == self._next.get(thing):
            return
        if first is None:
            del self._next[thing]
            self.notices.append(Notice(thing, "notify-next", {"timestamp": at}))
            return
        self._next[thing] = first
        execution = listed[0].whole(self.now(), self.jobs[listed[0].job_id].document)
        self.notices.append(Notice(thing, "notify-next", {"timestamp": at, "execution": execution}))


def _check_minutes(value: int, name: str) -> None:
    if not MIN_TIMEOUT_MINUTES <= value <= MAX_TIMEOUT_MINUTES:
        raise Refusal(
            "InvalidRequest", f"{name}: {MIN_TIMEOUT_MINUTES} to {MAX_TIMEOUT_MINUTES} minutes are wanted"
        )
