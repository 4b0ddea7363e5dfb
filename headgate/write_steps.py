"""How a write goes on every bus: checked whole, then value by value: the old one read, written, read back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar

from headgate.clock import Clock
from headgate.driver import Refused, Reply, Request
from headgate.errors import HeadgateError, Retry
from headgate.model import Value

MAX_VALUES = 16
"""Of one request; the reply to as many fits the local bus."""
MAX_ERROR = 160
READ_BACK_AFTER_MS = (0, 100, 500)
"""Pauses before each look at what was written: some devices answer first and take the value over then."""
Outcome = Literal["verified", "written", "mismatch", "not_written", "unknown"]
SKIPPED = "a value before it failed"

Row = dict[str, Any]
Found = TypeVar("Found")


class Denied(HeadgateError):
    """The device answered that it does not do this."""


class Unconfirmed(Retry):
    """A write was sent and not confirmed: whether it was done is not known."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """One value of a request. `value` is what is written, `asked` what it was before it was clamped."""

    name: str
    unit: str
    asked: Value
    value: Value
    verify: bool


@dataclass(slots=True)
class Done:
    """What became of one value; `code` is empty where it went well."""

    outcome: Outcome
    code: str = ""
    error: str = ""
    more: Row = field(default_factory=dict)


class Place(Protocol[Found]):
    """Where one value lies in a device: what a bus does of a write."""

    @property
    def wanted(self) -> Wanted:
        """What is asked for it."""

    async def look(self) -> Found:
        """What is there now. Raises Denied, or Retry or Refused where nobody said."""

    async def put(self) -> int:
        """Write, once; the boottime of its confirmation. Raises Denied; Unconfirmed where it may be done;
        Retry or Refused where nothing was sent."""

    def holds(self, found: Found) -> bool:
        """Whether what was found is what was written, as far as it is the tag's."""

    def meant(self, found: Found) -> Value:
        """The value that was found."""


async def carry_out(place: Place[Found], clock: Clock, end_ms: int | None) -> Done:
    """Read the old value, write, read back; to be over at `end_ms` (boottime) where there is one.

    Every way out says whether it was written.
    """
    more: Row = {}
    verify = place.wanted.verify
    try:
        more["old"] = place.meant(await place.look())
    except Denied as error:
        if verify:
            return Done("not_written", "device_refused", f"{error} to reading it before")
    except (Retry, Refused) as error:
        return Done("not_written", "offline", f"{error} (reading it before)")
    unconfirmed: Unconfirmed | None = None
    try:
        boot_ms = await place.put()
        more["t"] = boot_ms + clock.utc_ms() - clock.boot_ms()
    except Denied as error:
        return Done("not_written", "device_refused", str(error), more)
    except Unconfirmed as error:
        unconfirmed = error
    except (Retry, Refused) as error:
        return Done("not_written", "offline", str(error), more)
    if verify:
        return await _verified(place, clock, end_ms, unconfirmed, more)
    if unconfirmed is None:
        return Done("written", more=more)
    return Done("unknown", "unknown", str(unconfirmed), more)


async def _verified(
    place: Place[Found], clock: Clock, end_ms: int | None, unconfirmed: Unconfirmed | None, more: Row
) -> Done:
    """Look whether the value is there; what was not confirmed may be, and what was may not."""
    for pause_ms in READ_BACK_AFTER_MS:
        due_ms = clock.boot_ms() + pause_ms
        if pause_ms and (end_ms is None or due_ms < end_ms):
            await clock.sleep_until(due_ms)
        try:
            found = await place.look()
        except HeadgateError as error:
            if unconfirmed is not None:
                return Done("unknown", "unknown", f"{unconfirmed}; reading it back: {error}", more)
            return Done("written", "not_verified", f"confirmed, but not read back: {error}", more)
        if place.holds(found):
            return Done("verified", more=more)
    more["found"] = place.meant(found)
    if unconfirmed is not None:
        return Done("unknown", "unknown", f"{unconfirmed}; it reads as another value", more)
    return Done("mismatch", "not_verified", "confirmed, but it reads as another value", more)


async def write_all(
    request: Request, wanted: Sequence[Wanted], write: Callable[[int], Awaitable[Done]]
) -> Reply:
    """The reply to values that may be written: `write` does the one at an index. After a failure, nothing
    more is written. Raises Refused for a series that is there twice."""
    names = [each.name for each in wanted]
    if len(set(names)) < len(names):
        raise Refused("bad_request", "write: a series is there twice")
    rows: list[Row] = []
    failed: tuple[str, Done] | None = None
    for index, each in enumerate(wanted):
        if failed is None:
            done = await write(index)
            if done.code:
                failed = each.name, done
        else:
            done = Done("not_written", error=SKIPPED)
        rows.append(_row(each, done))
    result = {"writes": rows}
    if failed is not None:
        name, done = failed
        return Reply(request.id, "failed", done.code, f"{name}: {done.error}", result)
    return Reply(request.id, "ok", "ok", result=result)


def asked_values(args: Mapping[str, Any]) -> list[tuple[str, Value]]:
    """The series and values that are asked for. Raises Refused for anything else."""
    rows = args.get("values")
    if args.keys() != {"values"} or not isinstance(rows, list):
        raise Refused("bad_request", "write takes values, a list of {series, value}, and nothing else")
    if not 0 < len(rows) <= MAX_VALUES:
        raise Refused("bad_request", f"write: 1 to {MAX_VALUES} values may be written at once")
    asked: list[tuple[str, Value]] = []
    for row in rows:
        match row:
            case {"series": str(name), "value": bool() | int() | float() | str() as value, **rest} if (
                not rest
            ):
                asked.append((name, value))
            case _:
                raise Refused("bad_request", f"write: {str(row)[:80]} is not series and value")
    return asked


def _row(wanted: Wanted, done: Done) -> Row:
    row: Row = {
        "series": wanted.name,
        "value": wanted.value,
        "unit": wanted.unit,
        "outcome": done.outcome,
    }
    if wanted.value != wanted.asked:
        row["asked"] = wanted.asked
    row |= done.more
    if done.error:
        row["error"] = done.error[:MAX_ERROR]
    return row
