"""Dumps a unit to a redacted fixture: what it says of itself, and its registers as far as it has them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from headgate.errors import Retry
from headgate.modbus.client import ExceptionReply, NoReply, OutOfReach
from headgate.modbus.commissioning.asker import Asker
from headgate.modbus.commissioning.explore import SILENT, Found, Heard, Refused, explore
from headgate.modbus.commissioning.fixture import Fixture
from headgate.modbus.commissioning.identity import identify
from headgate.modbus.commissioning.ranges import TableSpan, merged
from headgate.modbus.commissioning.redact import crossed_out, redact_found, redact_objects
from headgate.modbus.config import MAX_BITS, MAX_REGISTERS, Device
from headgate.modbus.planner import Span, plan_reads
from headgate.modbus.tags import BIT_TABLES, TABLES, Table
from headgate.modbus.work import Ask

DEFAULT_RANGES = (
    TableSpan("holding", Span(0, 256)),
    TableSpan("input", Span(0, 256)),
    TableSpan("coil", Span(0, 64)),
    TableSpan("discrete", Span(0, 64)),
)
"""What is looked at where neither ranges nor a profile are given."""
Advance = Callable[[int, int], None]
"""Told how many of how many registers are done."""


@dataclass(frozen=True, slots=True)
class Redaction:
    """What is taken out: what was asked for, what a profile knows, and with `strings` what reads as text."""

    asked: Sequence[TableSpan] = ()
    numbers: Sequence[TableSpan] = ()
    texts: Sequence[TableSpan] = ()
    strings: bool = True


async def dump(
    asker: Asker, unit: int, ranges: Sequence[TableSpan], redaction: Redaction, advance: Advance
) -> Fixture:
    """A unit's fixture. Raises OutOfReach, and NoReply when it answered nothing."""
    identity = await identify(asker, unit)
    tables: dict[Table, Found] = {}
    total, done = sum(each.span.count for each in ranges), 0
    heard_anything = bool(identity.objects) or identity.server_id is not None
    for each in ranges:
        found = tables.setdefault(each.table, Found())
        limit = MAX_BITS if each.table in BIT_TABLES else MAX_REGISTERS
        steps = explore(each.span, limit, found)
        try:
            span = next(steps)
            while True:
                advance(done + span.address - each.span.address, total)
                heard = await _read(asker, unit, each.table, span)
                heard_anything = heard_anything or heard != Refused(SILENT)
                span = steps.send(heard)
        except StopIteration:
            done += each.span.count
            advance(done, total)
    if not heard_anything:
        raise NoReply(f"unit {unit} answered nothing")
    return _fixture(unit, redaction, tables, identity.objects, identity.conformity, identity.server_id)


async def _read(asker: Asker, unit: int, table: Table, span: Span) -> Heard:
    try:
        return await asker.read(unit, Ask(table, span.address, span.count))
    except OutOfReach:
        raise
    except ExceptionReply as error:
        return Refused(error.code)
    except Retry:
        return Refused(SILENT)


def _fixture(
    unit: int,
    redaction: Redaction,
    tables: Mapping[Table, Found],
    objects: Mapping[int, bytes],
    conformity: int | None,
    server_id: bytes | None,
) -> Fixture:
    redacted = []
    for table, found in tables.items():
        redacted += redact_found(
            table,
            found,
            asked=redaction.asked,
            numbers=redaction.numbers,
            texts=redaction.texts,
            strings=redaction.strings,
        )
    if redaction.strings:
        objects = redact_objects(objects)
        server_id = None if server_id is None else crossed_out(server_id)
    return Fixture(unit, objects, conformity, server_id, tables, redacted)


def redaction_for(device: Device | None, asked: Sequence[TableSpan], *, strings: bool) -> Redaction:
    """What to take out of a dump; a profile's device knows where numbers, texts and serial numbers lie."""
    numbers: list[TableSpan] = []
    texts: list[TableSpan] = []
    serials: list[TableSpan] = []
    for tag in (tag for group in (device.groups if device else ()) for tag in group.tags):
        at = TableSpan(tag.table, Span(tag.address, tag.count))
        if tag.form.type == "string":
            texts.append(at)
        else:
            (serials if "serial" in tag.name else numbers).append(at)
    return Redaction((*asked, *serials), numbers, texts if strings else (), strings)


def ranges_of(device: Device) -> list[TableSpan]:
    """Where a profile's tags lie, in as few ranges as its own reads."""
    ranges = []
    for table in TABLES:
        spans = [
            Span(tag.address, tag.count)
            for group in device.groups
            for tag in group.tags
            if tag.table == table
        ]
        if spans:
            most = device.max_bits if table in BIT_TABLES else device.max_registers
            blocks = plan_reads(spans, max_count=most, max_gap=device.max_gap)
            ranges += [TableSpan(table, Span(block.address, block.count)) for block in blocks]
    return merged(ranges)
