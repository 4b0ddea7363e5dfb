"""What the cloud's `scan` finds: the units that answer on the line of a configured device."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from headgate.clock import Clock
from headgate.driver import Refused, Request, answer_by_ms
from headgate.errors import HeadgateError, Retry
from headgate.modbus.client import ExceptionReply, NoReply, OutOfReach, WrongReply
from headgate.modbus.config import Device
from headgate.modbus.errands import carry_out
from headgate.modbus.line import Line
from headgate.modbus.transports import Transport
from headgate.modbus.work import Ask, Errand, Unit
from headgate.scans import Findings, Row, Work, number_of, refuse_others, whole_of

LAST, MAX_UNIT = 32, 247
"""As many devices as a bus bears without repeaters (TIA-485-A, unit loads); as many as there can be."""
SECONDS, MAX_SECONDS = 60, 600
TIMEOUT_S = 0.3
"""Of a probe: a device answers within some ten ms, and a scan mostly waits for those that are not there."""
PROBE = Ask("holding", 0, 1)


def plan_scan(
    request: Request,
    units: Mapping[str, Unit],
    lines: Mapping[Transport, Line],
    clock: Clock,
    source: str,
) -> Work:
    """The scan that is asked for. Raises Refused."""
    args = request.args
    refuse_others(args, ("device", "first", "last", "seconds", "timeout_s"))
    if args.get("source") != source:
        raise Refused("bad_request", f"scan: source must be {source} here")
    name = args.get("device")
    unit = units.get(name) if isinstance(name, str) else None
    if unit is None:
        raise Refused("unknown_device", f"scan: there is no Modbus device {name!r}")
    first = whole_of(args, "first", 1, 1, MAX_UNIT)
    last = whole_of(args, "last", max(first, LAST), 1, MAX_UNIT)
    if last < first:
        raise Refused("bad_request", f"scan: first is {first}, and last is {last}")
    end_ms = clock.boot_ms() + round(number_of(args, "seconds", SECONDS, 1, MAX_SECONDS) * 1000)
    answer_ms = answer_by_ms(request, clock)
    if answer_ms is not None:
        end_ms = min(end_ms, answer_ms)
    timeout_s = number_of(args, "timeout_s", TIMEOUT_S, 0.05, 2)
    probed = replace(unit.device, timeout_s=timeout_s, retries=0, groups=(), sunspec=None)
    scan = _Scan(probed, range(first, last + 1), units, lines, clock)
    return Work(lambda: scan.made(source, end_ms), end_ms)


class _Scan:
    """Asks one unit after the other for one register, each time as an errand of its own: between two of them
    a poll that is due goes first."""

    def __init__(
        self,
        device: Device,
        numbers: Sequence[int],
        units: Mapping[str, Unit],
        lines: Mapping[Transport, Line],
        clock: Clock,
    ) -> None:
        self._device, self._numbers = device, numbers
        self._units, self._lines, self._clock = units, lines, clock

    async def made(self, source: str, end_ms: int) -> Findings:
        """Who answers; what was not asked when time was over is seen by `asked`. Raises Retry."""
        begun_ms, rows, asked = self._clock.boot_ms(), [], 0
        for number in self._numbers:
            if self._clock.boot_ms() >= end_ms:
                break
            row = await self._probed(number, end_ms)
            if row is None:
                break
            asked += 1
            if row:
                rows.append(row)
        summary: dict[str, Any] = {"source": source, "device": self._device.name}
        summary |= {"first": self._numbers[0], "last": self._numbers[-1], "asked": asked}
        return Findings(rows, {**summary, "seconds": round((self._clock.boot_ms() - begun_ms) / 1000, 1)})

    async def _probed(self, number: int, end_ms: int) -> Row | None:
        """What a unit says; empty: nothing. None: time was over. Raises Retry: there is no connection."""
        transport = self._device.transport
        if transport not in self._lines:
            raise Retry(f"{transport} is not in use any more")
        # A device that is known to be slow is waited for as long as its polls do.
        known_s = [unit.device.timeout_s for unit in self._at(number)]
        device = replace(self._device, unit=number, timeout_s=max([self._device.timeout_s, *known_s]))
        stranger = Unit(device, stranger=True)
        errand = Errand(stranger, [PROBE], asyncio.get_running_loop().create_future())
        late = _Late("not asked in time")
        await carry_out([errand], self._lines, self._clock, end_ms, late)
        (result,) = errand.results
        if result is late:
            return None
        return self._row(number, result)

    def _row(self, number: int, result: object) -> Row:
        names = [unit.device.name for unit in self._at(number)]
        row: dict[str, Any] = {"unit": number, **({"devices": names} if names else {})}
        match result:
            case ExceptionReply():
                return {**row, "answer": str(result)}
            case OutOfReach():
                raise Retry(str(result))
            case WrongReply():
                return {**row, "error": f"something was heard, but no good reply: {result}"}
            case HeadgateError():
                # One that is configured and silent is worth a line; of any other, silence is no news.
                return {**row, "error": str(result)} if names else {}
            case _:
                return {**row, "answer": "answers"}

    def _at(self, number: int) -> list[Unit]:
        """The configured devices of a unit id on this line."""
        where = (self._device.transport, number)
        return [unit for unit in self._units.values() if (unit.device.transport, unit.device.unit) == where]


class _Late(NoReply):
    """The scan's time was over."""
