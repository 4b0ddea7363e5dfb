"""What the state machine of jobs wants done, and the words it is spelled in; pure."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headgate.driver import Reply

MAX_DETAIL = 1_000
"""Of 1,024 characters of a value in statusDetails."""


@dataclass(frozen=True, slots=True)
class Publish:
    """Publish to `$aws/things/{thing}/jobs/` + tail. Tell `not_published` when that cannot be done now."""

    tail: str
    payload: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Begin:
    """Do this job; tell `work_done`. It may have been begun, or done, in an earlier life."""

    job_id: str
    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop doing this job: the cloud has taken it back."""

    job_id: str
    why: str


@dataclass(frozen=True, slots=True)
class Say:
    """Something for the log, by the key that limits it."""

    key: str
    text: str


Action = Publish | Begin | Cancel | Say


def step_minutes(document: Mapping[str, Any], utc_ms: int) -> int | None:
    """A step timeout a little behind the deadline, so that a gateway which died leaves no job in progress."""
    inner = document.get("headgate")
    deadline_ms = inner.get("deadline_ms") if isinstance(inner, Mapping) else None
    if not isinstance(deadline_ms, int) or isinstance(deadline_ms, bool):
        return None
    return max(1, min(10_080, (deadline_ms - utc_ms) // 60_000 + 2))


def version_of(state: object, otherwise: int) -> int:
    number = state.get("versionNumber") if isinstance(state, Mapping) else None
    return number if isinstance(number, int) and not isinstance(number, bool) else otherwise


def details_of(reply: Reply) -> dict[str, str]:
    """AWS takes no empty value and no control characters."""
    clean = "".join(" " if unicodedata.category(c).startswith("C") else c for c in reply.detail)
    detail = clean[:MAX_DETAIL].strip()
    return {"code": reply.code or reply.status} | ({"detail": detail} if detail else {})
