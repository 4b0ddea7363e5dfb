"""What the cloud asks of Modbus devices: series and raw registers, read afresh and before any poll."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from headgate.clock import Clock
from headgate.driver import Refused, Reply, Request, answer_by_ms
from headgate.errors import HeadgateError, Retry
from headgate.modbus.codec import Decode, Field, make_decoder
from headgate.modbus.config import MAX_BITS, MAX_REGISTERS, Device
from headgate.modbus.errands import carry_out, find_tag
from headgate.modbus.line import Line
from headgate.modbus.planner import Span, plan_reads
from headgate.modbus.sunspec.plan import asks_of
from headgate.modbus.sunspec.reading import plan_proven
from headgate.modbus.tags import BIT_TABLES, TABLES, Tag
from headgate.modbus.transports import Transport
from headgate.modbus.work import Answer, Ask, Errand, Unit

MAX_ITEMS = 500
"""Series and ranges of one request; a reply to more would not fit the local bus."""
ADDRESSES = 65_536
"""Of a table (Modbus Application Protocol V1.1b3, 4.4)."""

Row = dict[str, Any]


@dataclass(slots=True)
class _Asked:
    """What one request wants of one unit: tags by name, ranges by their place among the request's."""

    unit: Unit
    tags: dict[str, Tag] = field(default_factory=dict)
    ranges: dict[int, Ask] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Block:
    """Tags that are read together: what to ask, in this order, for a row of registers that `decode` takes.

    Their time is that of the answer to `asks[main]`; `holds` says whether the row is what it was taken for.
    """

    asks: tuple[Ask, ...]
    main: int
    tags: Sequence[Tag]
    decode: Decode
    holds: Callable[[Sequence[int]], bool]


class Displaced(Retry):
    """The device shows that its registers are others than they were."""


class OnDemand:
    """Carries out `read` (docs/requests.md); the mappings are the driver's own."""

    def __init__(self, units: Mapping[str, Unit], lines: Mapping[Transport, Line], clock: Clock) -> None:
        self._units = units
        self._lines = lines
        self._clock = clock

    async def call(self, request: Request) -> Reply:
        """See `Driver.call`. What could not be read has `error`; when nothing could, status is failed."""
        if request.op != "read":
            known = "it does read and write"
            raise Refused("unknown_op", f"the Modbus bridge does not do {request.op!r}; {known}")
        unknown = set(request.args) - {"series", "registers"}
        if unknown:
            raise Refused("bad_request", f"read takes series and registers here, not {sorted(unknown)}")
        names, ranges = request.args.get("series", []), request.args.get("registers", [])
        if not isinstance(names, list) or not isinstance(ranges, list):
            raise Refused("bad_request", "read: series and registers must be lists")
        if not 0 < len(names) + len(ranges) <= MAX_ITEMS:
            raise Refused("bad_request", f"read: 1 to {MAX_ITEMS} series and ranges may be asked for")
        asked: dict[str, _Asked] = {}
        for name in names:
            unit, tag = find_tag(self._units, name, "read")
            asked.setdefault(unit.device.name, _Asked(unit)).tags[name] = tag
        for place, row in enumerate(ranges):
            unit, ask = self._range(row)
            asked.setdefault(unit.device.name, _Asked(unit)).ranges[place] = ask
        values, registers, errors = await self._read(list(asked.values()), answer_by_ms(request, self._clock))
        result: Row = {}
        if names:
            result["values"] = [values[name] for name in names]
        if ranges:
            result["registers"] = [registers[place] for place in range(len(ranges))]
        if all("error" in row for rows in result.values() for row in rows):
            name, error = errors[0]
            return Reply(request.id, "failed", "offline", f"{name}: {error}", result)
        return Reply(request.id, "ok", "ok", result=result)

    def _range(self, row: object) -> tuple[Unit, Ask]:
        match row:
            case {"device": str(name), "table": str(spelt), "address": int(address), "count": int(count)}:
                pass
            case _:
                raise Refused("bad_request", f"read: {row!r} is not device, table, address and count")
        unit = self._units.get(name)
        if unit is None:
            raise Refused("unknown_device", f"read: there is no Modbus device {name!r}")
        table = next((table for table in TABLES if table == spelt), None)
        if table is None:
            raise Refused(
                "bad_request", f"read: {name} has no table {spelt!r}; known are {', '.join(TABLES)}"
            )
        bits = table in BIT_TABLES
        limit = unit.device.max_bits if bits else unit.device.max_registers
        if isinstance(count, bool) or not 1 <= count <= limit:
            most = MAX_BITS if bits else MAX_REGISTERS
            whose = "as it is configured" if limit < most else "as Modbus has it"
            raise Refused(
                "bad_request",
                f"read: {name}:{table}:{address}: count is {count}, 1 to {limit} are read at once, {whose}",
            )
        if isinstance(address, bool) or not 0 <= address <= ADDRESSES - count:
            raise Refused(
                "bad_request",
                f"read: {name}:{table}:{address}: {count} from there go beyond address {ADDRESSES - 1}",
            )
        return unit, Ask(table, address, count)

    async def _read(
        self, asked: Sequence[_Asked], end_ms: int | None
    ) -> tuple[dict[str, Row], dict[int, Row], list[tuple[str, HeadgateError]]]:
        """Rows of series by name, rows of ranges by place, and what went wrong, by device."""
        values: dict[str, Row] = {}
        registers: dict[int, Row] = {}
        errors: list[tuple[str, HeadgateError]] = []
        for wanted, blocks, errand in await self._errands(asked, end_ms):
            device = wanted.unit.device
            results = iter(errand.results)
            for block in blocks:
                found = joined(block, [next(results) for _ in block.asks])
                if isinstance(found, Displaced):
                    wanted.unit.doubt()
                    errors.append((device.name, found))
                values.update(self._values(device, block, found))
            for (place, ask), result in zip(wanted.ranges.items(), results, strict=True):
                registers[place] = self._registers(device, ask, result)
            errors += [
                (device.name, result) for result in errand.results if isinstance(result, HeadgateError)
            ]
        return values, registers, errors

    async def _errands(
        self, asked: Sequence[_Asked], end_ms: int | None
    ) -> list[tuple[_Asked, list[Block], Errand]]:
        """Send one errand to each unit, all at once, and wait for them, until `end_ms` (boottime) at most.

        Raises as `Line.send`.
        """
        made = []
        loop = asyncio.get_running_loop()
        for wanted in asked:
            blocks = plan_tags(wanted.unit.device, list(wanted.tags.values()))
            asks = [*(ask for block in blocks for ask in block.asks), *wanted.ranges.values()]
            made.append((wanted, blocks, Errand(wanted.unit, asks, loop.create_future())))
        errands = [errand for _, _, errand in made]
        await carry_out(errands, self._lines, self._clock, end_ms, Retry("not read in time"))
        return made

    def _values(self, device: Device, block: Block, result: Answer | HeadgateError) -> dict[str, Row]:
        rows = {f"{device.name}/{tag.name}": {"series": f"{device.name}/{tag.name}"} for tag in block.tags}
        if isinstance(result, HeadgateError):
            return {name: {**row, "error": str(result)} for name, row in rows.items()}
        boot_ms, data = result
        values, quality = block.decode(data)
        found: dict[str, Row] = {}
        for i, ((name, row), tag) in enumerate(zip(rows.items(), block.tags, strict=True)):
            code = quality[i] if quality else 0
            found[name] = {
                **row,
                "value": values[i],
                "unit": tag.unit,
                "quality": code,
                "t": self._utc_ms(boot_ms),
            }
        return found

    def _registers(self, device: Device, ask: Ask, result: Answer | HeadgateError) -> Row:
        row: Row = {"device": device.name, "table": ask.table, "address": ask.address}
        if isinstance(result, HeadgateError):
            return {**row, "count": ask.count, "error": str(result)}
        boot_ms, data = result
        # The bits of a reply come in whole bytes: those after the last one asked for mean nothing.
        return {**row, "values": [int(value) for value in data[: ask.count]], "t": self._utc_ms(boot_ms)}

    def _utc_ms(self, boot_ms: int) -> int:
        return boot_ms + self._clock.utc_ms() - self._clock.boot_ms()


def plan_tags(device: Device, tags: Sequence[Tag]) -> list[Block]:
    """The reads for some tags of a device."""
    reads = []
    for table in sorted({tag.table for tag in tags}):
        bits = table in BIT_TABLES
        max_count = device.max_bits if bits else device.max_registers
        # A register is sixteen bits: the budget is one of bytes on the line.
        max_gap = device.max_gap * 16 if bits else device.max_gap
        here = [tag for tag in tags if tag.table == table and tag.head is None]
        blocks = plan_reads(
            [Span(tag.address, tag.count) for tag in here], max_count=max_count, max_gap=max_gap
        )
        for block in blocks:
            members = [here[i] for i in block.members]
            fields = [Field(tag.address - block.address, tag.form) for tag in members]
            ask = Ask(table, block.address, block.count)
            reads.append(Block((ask,), 0, members, make_decoder(fields, block.count), _always))
        headed = [tag for tag in tags if tag.table == table and tag.head is not None]
        for proven in plan_proven(headed, max_count=max_count, max_gap=max_gap):
            members = [headed[i] for i in proven.members]
            asks = asks_of(proven, members[0])
            reads.append(Block(asks, proven.main, members, proven.decode, proven.holds))
    return reads


def joined(block: Block, results: Sequence[Answer | HeadgateError]) -> Answer | HeadgateError:
    """The answers to a block's asks as one, or what went wrong with the first that has none."""
    row: list[int] = []
    for result in results:
        if isinstance(result, HeadgateError):
            return result
        row += result[1]
    if not block.holds(row):
        return Displaced("the device shows another SunSpec model there than it did")
    main = results[block.main]
    return main if isinstance(main, HeadgateError) else (main[0], row)


def _always(registers: Sequence[int]) -> bool:
    """Of registers that say nothing of themselves."""
    return True
