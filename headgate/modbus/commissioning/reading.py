"""Reads the tags that are asked for, in few reads; a refused one is parted until the guilty tag is left."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headgate.errors import HeadgateError, Retry
from headgate.modbus.client import ExceptionReply, OutOfReach
from headgate.modbus.codec import Field, make_decoder
from headgate.modbus.commissioning.asker import Reader
from headgate.modbus.commissioning.ranges import TableSpan
from headgate.modbus.commissioning.tagspec import Spec
from headgate.modbus.config import MAX_BITS, MAX_REGISTERS, Device
from headgate.modbus.planner import Block, Span, halves, plan_reads
from headgate.modbus.tags import BIT_TABLES, TABLES, Table
from headgate.modbus.work import Ask
from headgate.model import Quality, Value


@dataclass(frozen=True, slots=True)
class Limits:
    """What one read of a device may have."""

    max_registers: int = MAX_REGISTERS
    max_bits: int = MAX_BITS
    max_gap: int = 0

    @classmethod
    def of(cls, device: Device) -> Limits:
        """Those of a profile."""
        return cls(device.max_registers, device.max_bits, device.max_gap)


@dataclass(frozen=True, slots=True)
class Reading:
    """What became of one tag: registers or bits, of a tag with a type the value; or why there is none."""

    spec: Spec
    registers: Sequence[int] = ()
    value: Value = None
    quality: Quality = Quality.GOOD
    error: str = ""


def of_device(device: Device) -> list[Spec]:
    """The tags of a profile's device."""
    return [
        Spec(tag.name, TableSpan(tag.table, Span(tag.address, tag.count)), tag)
        for group in device.groups
        for tag in group.tags
    ]


async def read_tags(reader: Reader, unit: int, specs: Sequence[Spec], limits: Limits) -> list[Reading]:
    """One reading for each spec, in their order. Raises OutOfReach, and Retry where nothing answered."""
    readings: dict[int, Reading] = {}
    silence: Retry | None = None
    for table in TABLES:
        mine = [i for i, spec in enumerate(specs) if spec.where.table == table]
        most = limits.max_bits if table in BIT_TABLES else limits.max_registers
        spans = [specs[i].where.span for i in mine]
        pending = plan_reads(spans, max_count=most, max_gap=limits.max_gap) if spans else []
        while pending:
            block = pending.pop(0)
            heard = await _read(reader, unit, table, block)
            if isinstance(heard, ExceptionReply) and len(block.members) > 1:
                first, second, _ = halves(spans, block)
                pending[:0] = [first, second]
                continue
            for member in block.members:
                readings[mine[member]] = _reading(specs[mine[member]], block, heard)
            if isinstance(heard, Retry):
                silence = heard
    if silence is not None and all(reading.error for reading in readings.values()):
        raise silence
    return [readings[i] for i in range(len(specs))]


async def _read(reader: Reader, unit: int, table: Table, block: Block) -> Sequence[int] | HeadgateError:
    try:
        return await reader.read(unit, Ask(table, block.address, block.count))
    except OutOfReach:
        raise
    except (ExceptionReply, Retry) as error:
        return error


def _reading(spec: Spec, block: Block, heard: Sequence[int] | HeadgateError) -> Reading:
    if isinstance(heard, HeadgateError):
        return Reading(spec, error=str(heard))
    at = spec.where.span.address - block.address
    registers = heard[at : at + spec.where.span.count]
    if spec.tag is None:
        return Reading(spec, registers)
    values, quality = make_decoder([Field(0, spec.tag.form)], len(registers))(registers)
    return Reading(spec, registers, values[0], Quality(quality[0]) if quality else Quality.GOOD)
