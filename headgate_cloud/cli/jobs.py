"""IoT jobs through boto3's `iot`; raises botocore's errors as they come."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import ClientError

from headgate_cloud.cli.errors import UNREACHABLE, USAGE, Complaint

PENDING: Final = ("QUEUED", "IN_PROGRESS")
MAX_TARGETS: Final = 100  # AWS IoT Device Management quotas, targets of a job


@dataclass(frozen=True, slots=True)
class Execution:
    """One gateway's part in a job; times are UTC ms or None."""

    thing: str
    status: str
    queued_ms: int | None
    started_ms: int | None
    updated_ms: int | None


class Jobs:
    """`iot` is boto3's client (untyped)."""

    def __init__(self, iot: Any) -> None:
        self._iot = iot

    def create(self, job_id: str, things: Sequence[str], groups: Sequence[str], document: str) -> None:
        """Raises Complaint for a target that is not there, and for an id that is taken."""
        if len(things) + len(groups) > MAX_TARGETS:
            raise Complaint(f"a job has at most {MAX_TARGETS} targets; use --group", USAGE)
        targets = [
            *(self._arn("thing", name) for name in things),
            *(self._arn("thing group", name) for name in groups),
        ]
        try:
            self._iot.create_job(jobId=job_id, targets=targets, document=document, targetSelection="SNAPSHOT")
        except self._iot.exceptions.ResourceAlreadyExistsException:
            raise Complaint(f"job {job_id} exists already; headgate jobs show {job_id}", USAGE) from None

    def newest(self, status: str | None, limit: int) -> list[dict[str, Any]]:
        wanted = {} if status is None else {"status": status}
        found: list[dict[str, Any]] = []
        for page in self._iot.get_paginator("list_jobs").paginate(**wanted):
            found += page["jobs"]
            if len(found) >= limit:
                break
        return found[:limit]

    def describe(self, job_id: str) -> dict[str, Any]:
        with_why: dict[str, Any] = self._known(self._iot.describe_job, job_id)["job"]
        return with_why

    def executions(self, job_id: str) -> Iterator[Execution]:
        for page in self._iot.get_paginator("list_job_executions_for_job").paginate(jobId=job_id):
            for one in page["executionSummaries"]:
                summary = one["jobExecutionSummary"]
                yield Execution(
                    one["thingArn"].rpartition("/")[2],
                    summary["status"],
                    *(_ms(summary.get(name)) for name in ("queuedAt", "startedAt", "lastUpdatedAt")),
                )

    def details(self, job_id: str, thing: str) -> dict[str, str]:
        """statusDetails, as the gateway set them."""
        found = self._iot.describe_job_execution(jobId=job_id, thingName=thing)["execution"]
        pairs: dict[str, str] = found.get("statusDetails", {}).get("detailsMap", {})
        return pairs

    def cancel(self, job_id: str, *, force: bool) -> None:
        self._known(self._iot.cancel_job, job_id, force=force)

    def cancel_on(self, job_id: str, thing: str, *, force: bool) -> None:
        self._known(self._iot.cancel_job_execution, job_id, thingName=thing, force=force)

    def _known(self, call: Any, job_id: str, **more: Any) -> Any:
        try:
            return call(jobId=job_id, **more)
        except ClientError as error:
            code, said = error.response["Error"]["Code"], error.response["Error"]["Message"]
            if code in (
                "ResourceNotFoundException",
                "InvalidStateTransitionException",
                "InvalidRequestException",
            ):
                raise Complaint(f"job {job_id}: {said}", USAGE) from None
            raise

    def _arn(self, kind: str, name: str) -> str:
        try:
            if kind == "thing":
                arn: str = self._iot.describe_thing(thingName=name)["thingArn"]
            else:
                arn = self._iot.describe_thing_group(thingGroupName=name)["thingGroupArn"]
        except self._iot.exceptions.ResourceNotFoundException:
            raise Complaint(f"the registry has no {kind} {name}", UNREACHABLE) from None
        return arn


def new_id(op: str) -> str:
    return f"hg-{op}-{secrets.token_hex(6)}"


def _ms(at: Any) -> int | None:
    """boto3 gives datetimes."""
    return None if at is None else round(at.timestamp() * 1000)
