"""A scan that a bridge makes beside its other requests: begun by the first call, fetched page by page."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headgate.clock import Clock
from headgate.driver import Refused, Reply, Request
from headgate.errors import HeadgateError, Reject, Retry

PAGE_BYTES = 5_500
"""Of the rows in one reply, which has 7,238 B on nucleus lite."""
ASK_AGAIN_MS = 1_000
"""Most that whoever asked waits before asking again."""

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Findings:
    """What a scan came to: `found`, row by row, and what is said of the whole."""

    found: Sequence[Row]
    summary: Row = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Work:
    """A scan to be made: it is done at boottime `end_ms` at the latest. `making` may raise Retry."""

    making: Callable[[], Coroutine[Any, Any, Findings]]
    end_ms: int


class Scans:
    """One scan at a time, known by its request's id; a new one takes the place of the one before.

    The bridge answers one request at a time, so a scan must not be waited for: while it is made every call is
    answered `started`, with `wait_ms` to wait before the next; then the calls fetch its rows, page by page
    (`next` is what the next one gives as `after`).
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._id = ""
        self._end_ms = 0
        self._task: asyncio.Task[Findings | HeadgateError] | None = None

    def knows(self, request: Request) -> bool:
        """Whether a call is about the scan that there is. Raises Retry where it is about one that is lost."""
        if request.id == self._id and self._task is not None:
            return True
        if "after" in request.args:
            raise Retry("the scan is not there any more: the bridge was restarted, or another was asked for")
        return False

    def begin(self, request: Request, work: Work, group: asyncio.TaskGroup) -> None:
        """Make a scan, as a task of a group."""
        self.stop()
        self._id, self._end_ms = request.id, work.end_ms
        self._task = group.create_task(_kept(work.making), name=f"scan {request.id}")

    def answer(self, request: Request) -> Reply:
        """What there is to say of the scan now. Raises what it raised, or Refused."""
        assert self._task is not None
        if not self._task.done():
            wait_ms = min(max(self._end_ms - self._clock.boot_ms(), 0) + 20, ASK_AGAIN_MS)
            return Reply(request.id, "ok", "started", result={"wait_ms": wait_ms})
        findings = Retry("the scan was ended") if self._task.cancelled() else self._task.result()
        if isinstance(findings, HeadgateError):
            self.stop()
            raise findings
        after = request.args.get("after", 0)
        if isinstance(after, bool) or not isinstance(after, int) or not 0 <= after <= len(findings.found):
            raise Refused("bad_request", f"scan: after must be what next was, not {after!r}")
        end = _page_end(findings.found, after)
        result: dict[str, Any] = {**findings.summary, "found": list(findings.found[after:end])}
        if end < len(findings.found):
            result["next"] = end
        else:
            self.stop()  # nobody needs its rows any more
        return Reply(request.id, "ok", "ok", result=result)

    def stop(self) -> None:
        """End the scan, and forget it."""
        if self._task is not None:
            self._task.cancel()
        self._id, self._task = "", None


def _page_end(rows: Sequence[Row], start: int) -> int:
    """One row at least, and as many as a reply carries."""
    size_bytes, end = 0, start
    while end < len(rows):
        size_bytes += len(json.dumps(rows[end], ensure_ascii=False).encode()) + 1
        if size_bytes > PAGE_BYTES and end > start:
            break
        end += 1
    return end


async def _kept(making: Callable[[], Coroutine[Any, Any, Findings]]) -> Findings | HeadgateError:
    try:
        return await making()
    except (Reject, Retry) as error:
        return error


def number_of(args: Row, key: str, default: float, low: float, high: float) -> float:
    """A number among a scan's arguments. Raises Refused."""
    value = args.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise Refused("bad_request", f"scan: {key} must be {low:g} to {high:g}, not {value!r}")
    return float(value)


def whole_of(args: Row, key: str, default: int, low: int, high: int) -> int:
    """A whole number among a scan's arguments. Raises Refused."""
    value = args.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise Refused("bad_request", f"scan: {key} must be a whole number, {low} to {high}, not {value!r}")
    return value


def refuse_others(args: Row, known: Sequence[str]) -> None:
    """Raises Refused for arguments that a scan does not have."""
    unknown = set(args) - {*known, "source", "after"}
    if unknown:
        raise Refused("bad_request", f"scan takes source, {', '.join(known)} here, not {sorted(unknown)}")
