"""Writes what the cloud asks to be written: checked whole first, then value by value, each read back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from headgate.clock import Clock
from headgate.driver import Refused, Reply, Request, answer_by_ms
from headgate.errors import HeadgateError, Retry
from headgate.modbus.client import ExceptionReply, Unconfirmed
from headgate.modbus.codec import Field, make_decoder
from headgate.modbus.encode import Cells, Unwritable, encode
from headgate.modbus.errands import carry_out, find_tag
from headgate.modbus.line import Line
from headgate.modbus.puts import MASK, Put
from headgate.modbus.rules import WriteRule
from headgate.modbus.tags import Tag
from headgate.modbus.transports import Transport
from headgate.modbus.work import Answer, Ask, Errand, Unit
from headgate.model import Value

MAX_VALUES = 16
"""Of one request; the reply to as many fits the local bus."""
MAX_ERROR = 160
READ_BACK_AFTER_MS = (0, 100, 500)
"""Pauses before each look at what was written: some devices answer first and take the value over then."""
PERHAPS_DONE = frozenset({4, 5})
"""Exception codes of a device that failed on the way, or is still at it (V1.1b3, chapter 7)."""
ILLEGAL_FUNCTION = 1
Outcome = Literal["verified", "written", "mismatch", "not_written", "unknown"]
CODES: Mapping[Outcome, str] = {"mismatch": "not_verified", "written": "not_verified", "unknown": "unknown"}
"""The reply's code for a value that came to this, unless it says another."""
SKIPPED = "a value before it failed"

Row = dict[str, Any]


@dataclass(slots=True)
class _Wanted:
    """One value of a request. `value` is what is written, `asked` what it was before it was clamped."""

    name: str
    unit: Unit
    tag: Tag
    rule: WriteRule
    asked: Value
    value: Value
    cells: Cells


@dataclass(slots=True)
class _Done:
    """What became of one value; `code` is empty where it went well."""

    outcome: Outcome
    code: str = ""
    error: str = ""
    more: Row = field(default_factory=dict)


class Writes:
    """Carries out `write` (docs/requests.md); the mappings are the driver's own."""

    def __init__(self, units: Mapping[str, Unit], lines: Mapping[Transport, Line], clock: Clock) -> None:
        self._units = units
        self._lines = lines
        self._clock = clock

    async def call(self, request: Request) -> Reply:
        """See `Driver.call`. Where one value is refused nothing is written; after a failure, nothing more."""
        wanted = [self._wanted(row) for row in _rows(request.args)]
        names = [each.name for each in wanted]
        if len(set(names)) < len(names):
            raise Refused("bad_request", "write: a series is there twice")
        end_ms = answer_by_ms(request, self._clock)
        rows: list[Row] = []
        failed: tuple[str, _Done] | None = None
        for each in wanted:
            if failed is None:
                done = await self._one(each, end_ms)
                if done.code:
                    failed = each.name, done
            else:
                done = _Done("not_written", error=SKIPPED)
            rows.append(_row(each, done))
        result = {"writes": rows}
        if failed is not None:
            name, done = failed
            return Reply(request.id, "failed", done.code, f"{name}: {done.error}", result)
        return Reply(request.id, "ok", "ok", result=result)

    def _wanted(self, row: Mapping[str, Any]) -> _Wanted:
        """A value that may be written, and how. Raises Refused."""
        name, asked = row["series"], row["value"]
        unit, tag = find_tag(self._units, name, "write")
        rule = tag.write
        if rule is None:
            raise Refused(
                "writes_off", f"write: {name} may not be written (its tag has no write: {{allow: true}})"
            )
        value = _in_range(name, asked, rule)
        try:
            cells = encode(tag.form, value)
        except Unwritable as error:
            raise Refused("bad_value", f"write: {name}: {error}") from error
        return _Wanted(name, unit, tag, rule, asked, value, cells)

    async def _one(self, wanted: _Wanted, end_ms: int | None) -> _Done:
        """Read the old value, write, read back. Every way out says whether it was written."""
        more: Row = {}
        try:
            more["old"] = self._meant(wanted, (await self._carry(wanted, _place(wanted), end_ms))[1])
        except ExceptionReply as error:
            if wanted.rule.verify:
                return _Done("not_written", "device_refused", f"{error} to reading it before")
        except (Retry, Refused) as error:
            return _Done("not_written", "offline", f"{error} (reading it before)")
        unconfirmed: HeadgateError | None = None
        try:
            boot_ms, _ = await self._carry(wanted, _put(wanted), end_ms)
            more["t"] = boot_ms + self._clock.utc_ms() - self._clock.boot_ms()
        except ExceptionReply as error:
            if error.code not in PERHAPS_DONE:
                return _Done("not_written", "device_refused", _refusal(wanted, error), more)
            unconfirmed = error
        except Unconfirmed as error:
            unconfirmed = error
        except (Retry, Refused) as error:
            return _Done("not_written", "offline", str(error), more)
        if not wanted.rule.verify:
            if unconfirmed is None:
                return _Done("written", more=more)
            return _Done("unknown", "unknown", str(unconfirmed), more)
        return await self._verified(wanted, unconfirmed, more, end_ms)

    async def _verified(
        self, wanted: _Wanted, unconfirmed: HeadgateError | None, more: Row, end_ms: int | None
    ) -> _Done:
        """Look whether the value is there; what was not confirmed may be, and what was may not."""
        found: Sequence[int] = ()
        for pause_ms in READ_BACK_AFTER_MS:
            due_ms = self._clock.boot_ms() + pause_ms
            if pause_ms and (end_ms is None or due_ms < end_ms):
                await self._clock.sleep_until(due_ms)
            try:
                _, found = await self._carry(wanted, _place(wanted), end_ms)
            except HeadgateError as error:
                if unconfirmed is not None:
                    return _Done("unknown", "unknown", f"{unconfirmed}; reading it back: {error}", more)
                return _Done("written", "not_verified", f"confirmed, but not read back: {error}", more)
            if _holds(found, wanted.cells):
                return _Done("verified", more=more)
        more["found"] = self._meant(wanted, found)
        if unconfirmed is not None:
            return _Done("unknown", "unknown", f"{unconfirmed}; it reads as another value", more)
        return _Done("mismatch", "not_verified", "confirmed, but it reads as another value", more)

    async def _carry(self, wanted: _Wanted, ask: Ask | Put, end_ms: int | None) -> Answer:
        """One transaction, before any poll. Raises what it came to: ExceptionReply, Retry, Refused."""
        errand = Errand(wanted.unit, [ask], asyncio.get_running_loop().create_future())
        late = _Late("no time is left")
        await carry_out([errand], self._lines, self._clock, end_ms, late)
        (result,) = errand.results
        if result is late and errand.begun and isinstance(ask, Put):
            raise Unconfirmed("not confirmed in time; whether it was written is not known")
        if isinstance(result, HeadgateError):
            raise result
        return result

    def _meant(self, wanted: _Wanted, found: Sequence[int]) -> Value:
        tag = wanted.tag
        values, _ = make_decoder([Field(0, tag.form)], tag.count)(found[: tag.count])
        return values[0]


class _Late(Retry):
    """There was no time left for a transaction."""


def _rows(args: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The values that are asked for. Raises Refused for anything else."""
    rows = args.get("values")
    if args.keys() != {"values"} or not isinstance(rows, list):
        raise Refused("bad_request", "write takes values, a list of {series, value}, and nothing else")
    if not 0 < len(rows) <= MAX_VALUES:
        raise Refused("bad_request", f"write: 1 to {MAX_VALUES} values may be written at once")
    for row in rows:
        match row:
            case {"series": str(), "value": bool() | int() | float() | str(), **rest} if not rest:
                pass
            case _:
                raise Refused("bad_request", f"write: {str(row)[:80]} is not series and value")
    return rows


def _in_range(name: str, value: Value, rule: WriteRule) -> Value:
    """The value, or the end of the range that it is beyond. Raises Refused."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return value  # what is no number has no range, and is refused where a number is wanted
    for end, beyond in (
        (rule.low, rule.low is not None and not value >= rule.low),
        (rule.high, rule.high is not None and not value <= rule.high),
    ):
        if beyond and not rule.clamp:
            low, high = ("any" if each is None else f"{each:g}" for each in (rule.low, rule.high))
            raise Refused("out_of_range", f"write: {name}: {value:g} is out of range ({low} to {high})")
        if beyond:
            return end
    return value


def _place(wanted: _Wanted) -> Ask:
    return Ask(wanted.tag.table, wanted.tag.address, wanted.tag.count)


def _put(wanted: _Wanted) -> Put:
    cells = wanted.cells
    address = wanted.tag.address + cells.offset
    return Put(wanted.tag.table, address, cells.values, cells.mask, wanted.rule.multiple)


def _holds(found: Sequence[int], cells: Cells) -> bool:
    """Whether registers or bits that were read are those that were written, as far as they are the tag's."""
    mask = 0xFFFF if cells.mask is None else cells.mask
    return all(int(found[cells.offset + i]) & mask == value & mask for i, value in enumerate(cells.values))


def _refusal(wanted: _Wanted, error: ExceptionReply) -> str:
    put = _put(wanted)
    text = f"{error} to function {put.function}"
    if put.function == MASK and error.code == ILLEGAL_FUNCTION:
        # Reading the register and writing it whole could undo what somebody else writes in between.
        return text + ": it does no mask writes, and other bits of the register are not touched"
    if error.code == ILLEGAL_FUNCTION and not wanted.rule.multiple and put.function in (5, 6):
        return text + ": try write: {multiple: true}"
    return text


def _row(wanted: _Wanted, done: _Done) -> Row:
    row: Row = {
        "series": wanted.name,
        "value": wanted.value,
        "unit": wanted.tag.unit,
        "outcome": done.outcome,
    }
    if wanted.value != wanted.asked:
        row["asked"] = wanted.asked
    row |= done.more
    if done.error:
        row["error"] = done.error[:MAX_ERROR]
    return row
