"""Writes what the cloud asks to be written to Modbus devices: by which function, and how it is read back."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from headgate import write_steps
from headgate.clock import Clock
from headgate.driver import Refused, Reply, Request, answer_by_ms
from headgate.errors import HeadgateError, Retry
from headgate.exact import Unwritable
from headgate.modbus.client import ExceptionReply
from headgate.modbus.codec import Field, make_decoder
from headgate.modbus.encode import Cells, encode
from headgate.modbus.errands import carry_out, find_tag
from headgate.modbus.line import Line
from headgate.modbus.puts import MASK, Put
from headgate.modbus.rules import RegisterRule
from headgate.modbus.tags import Tag
from headgate.modbus.transports import Transport
from headgate.modbus.work import Answer, Ask, Errand, Unit
from headgate.model import Value
from headgate.write_steps import Denied, Unconfirmed, Wanted, asked_values, write_all

PERHAPS_DONE = frozenset({4, 5})
"""Exception codes of a device that failed on the way, or is still at it (V1.1b3, chapter 7)."""
ILLEGAL_FUNCTION = 1


class Writes:
    """Carries out `write` (docs/requests.md); the mappings are the driver's own."""

    def __init__(self, units: Mapping[str, Unit], lines: Mapping[Transport, Line], clock: Clock) -> None:
        self._units = units
        self._lines = lines
        self._clock = clock

    async def call(self, request: Request) -> Reply:
        """See `Driver.call`. Where one value is refused nothing is written; after a failure, nothing more."""
        asked = asked_values(request.args)
        end_ms = answer_by_ms(request, self._clock)
        places = [self._place(name, value, end_ms) for name, value in asked]
        return await write_all(
            request,
            [place.wanted for place in places],
            lambda index: write_steps.carry_out(places[index], self._clock, end_ms),
        )

    def _place(self, name: str, asked: Value, end_ms: int | None) -> _Registers:
        """Where a value that may be written lies. Raises Refused."""
        unit, tag = find_tag(self._units, name, "write")
        rule = tag.write
        if rule is None:
            raise Refused(
                "writes_off", f"write: {name} may not be written (its tag has no write: {{allow: true}})"
            )
        value = rule.value(name, asked)
        try:
            cells = encode(tag.form, value)
        except Unwritable as error:
            raise Refused("bad_value", f"write: {name}: {error}") from error
        wanted = Wanted(name, tag.unit, asked, value, rule.verify)
        return _Registers(wanted, unit, tag, rule, cells, self._lines, self._clock, end_ms)


class _Late(Retry):
    """There was no time left for a transaction."""


@dataclass(frozen=True, slots=True)
class _Registers:
    """The place of one value: registers, or one bit."""

    wanted: Wanted
    unit: Unit
    tag: Tag
    rule: RegisterRule
    cells: Cells
    lines: Mapping[Transport, Line]
    clock: Clock
    end_ms: int | None

    async def look(self) -> Sequence[int]:
        """See `Place.look`."""
        try:
            _, found = await self._carry(Ask(self.tag.table, self.tag.address, self.tag.count))
        except ExceptionReply as error:
            raise Denied(str(error)) from error
        return found

    async def put(self) -> int:
        """See `Place.put`."""
        try:
            boot_ms, _ = await self._carry(self._put())
        except ExceptionReply as error:
            if error.code in PERHAPS_DONE:
                raise Unconfirmed(str(error)) from error
            raise Denied(self._refusal(error)) from error
        return boot_ms

    def holds(self, found: Sequence[int]) -> bool:
        """See `Place.holds`."""
        cells = self.cells
        mask = 0xFFFF if cells.mask is None else cells.mask
        return all(
            int(found[cells.offset + i]) & mask == value & mask for i, value in enumerate(cells.values)
        )

    def meant(self, found: Sequence[int]) -> Value:
        """See `Place.meant`."""
        tag = self.tag
        values, _ = make_decoder([Field(0, tag.form)], tag.count)(found[: tag.count])
        return values[0]

    async def _carry(self, ask: Ask | Put) -> Answer:
        """One transaction, before any poll. Raises what it came to: ExceptionReply, Retry, Refused."""
        errand = Errand(self.unit, [ask], asyncio.get_running_loop().create_future())
        late = _Late("no time is left")
        await carry_out([errand], self.lines, self.clock, self.end_ms, late)
        (result,) = errand.results
        if result is late and errand.begun and isinstance(ask, Put):
            raise Unconfirmed("not confirmed in time; whether it was written is not known")
        if isinstance(result, HeadgateError):
            raise result
        return result

    def _put(self) -> Put:
        cells = self.cells
        address = self.tag.address + cells.offset
        return Put(self.tag.table, address, cells.values, cells.mask, self.rule.multiple)

    def _refusal(self, error: ExceptionReply) -> str:
        put = self._put()
        text = f"{error} to function {put.function}"
        if put.function == MASK and error.code == ILLEGAL_FUNCTION:
            # Reading the register and writing it whole could undo what somebody else writes in between.
            return text + ": it does no mask writes, and other bits of the register are not touched"
        if error.code == ILLEGAL_FUNCTION and not self.rule.multiple and put.function in (5, 6):
            return text + ": try write: {multiple: true}"
        return text
