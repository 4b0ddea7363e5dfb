"""What is asked of gateways: the document of a job, and the same as a direct request (docs/requests.md)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

OPERATIONS: Final = ("read", "query", "list", "fetch", "write")
MAX_JOB_BYTES: Final = 32_768  # AWS IoT Device Management quota, "Job document size"
MAX_DIRECT_BYTES: Final = 4_500  # docs/requests.md: what reaches a gateway on nucleus lite
_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")  # AWS IoT CreateJob, jobId


class BadRequest(ValueError):
    """What was asked can never be sent; the text says what is wrong with it."""


def job_document(op: str, args: Mapping[str, object], *, deadline_ms: int) -> str:
    """The document for CreateJob, as JSON; the job's id is the request's. Raises BadRequest."""
    text = _json({"headgate": {"v": 1, **_asked(op, args, deadline_ms)}})
    return _within(text, MAX_JOB_BYTES, "a job document")


def direct_request(request_id: str, op: str, args: Mapping[str, object], *, deadline_ms: int) -> str:
    """The payload for `request_topic`, as JSON. Raises BadRequest."""
    text = _json({"v": 1, "id": check_id(request_id), **_asked(op, args, deadline_ms)})
    return _within(text, MAX_DIRECT_BYTES, "a direct request")


def request_topic(thing: str, op: str) -> str:
    return f"hg/v1/{thing}/dn/req/{'write' if op == 'write' else 'read'}"


def check_id(request_id: str) -> str:
    """Raises BadRequest where it can be no job's or request's id."""
    if not _ID.fullmatch(request_id):
        raise BadRequest(f"{request_id[:80]!r} is no id: {_ID.pattern}")
    return request_id


def _asked(op: str, args: Mapping[str, object], deadline_ms: int) -> dict[str, object]:
    if op not in OPERATIONS:
        raise BadRequest(f"{op[:64]!r} is no operation: {', '.join(OPERATIONS)}")
    if deadline_ms <= 0:
        raise BadRequest(f"deadline_ms is UTC milliseconds, not {deadline_ms}")
    return {"op": op, "args": dict(args), "deadline_ms": deadline_ms}


def _json(value: object) -> str:
    try:
        return json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise BadRequest(f"the arguments are not JSON: {error}") from None


def _within(text: str, limit: int, what: str) -> str:
    size_bytes = len(text.encode())
    if size_bytes > limit:
        raise BadRequest(f"{what} of {size_bytes} B is more than {limit} B; ask for less at once")
    return text
