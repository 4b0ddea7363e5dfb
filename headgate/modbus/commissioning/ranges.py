"""Ranges as a technician types them: units `1-16,255`, registers `holding:0-99`; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from headgate.modbus.planner import Span
from headgate.modbus.tags import ADDRESSES, TABLES, Table

MAX_UNIT = 255


@dataclass(frozen=True, slots=True, order=True)
class TableSpan:
    """Registers, or bits, of one table."""

    table: Table
    span: Span

    def __str__(self) -> str:
        last = self.span.end - 1
        return f"{self.table}:{self.span.address}" + (f"-{last}" if self.span.count > 1 else "")

    def meets(self, address: int, count: int) -> bool:
        """Whether [address, address + count) has something of it."""
        return self.span.address < address + count and address < self.span.end


def read_units(text: str, *, serial: bool) -> list[int]:
    """`1-16,255` as unit ids in order. ValueError says what is wrong with it."""
    low = 1 if serial else 0
    units: set[int] = set()
    for part in text.split(","):
        if not (match := re.fullmatch(r"\s*(\d{1,3})(?:-(\d{1,3}))?\s*", part)):
            raise ValueError(f"{part!r} is no unit id: give numbers and ranges such as 1-16,247")
        first, last = int(match[1]), int(match[2] or match[1])
        if not low <= first <= last <= MAX_UNIT:
            raise ValueError(f"{part!r} is out of range: unit ids are {low} to {MAX_UNIT} here")
        units.update(range(first, last + 1))
    return sorted(units)


def read_range(text: str) -> TableSpan:
    """`holding:0-99` or `input:12`. ValueError says what is wrong with it."""
    match = re.fullmatch(r"(\w+):(\d{1,5})(?:-(\d{1,5}))?", text.strip())
    if not match or match[1] not in TABLES:
        raise ValueError(f"{text!r} is no range: give TABLE:FIRST-LAST, TABLE one of {', '.join(TABLES)}")
    first, last = int(match[2]), int(match[3] or match[2])
    if not first <= last < ADDRESSES:
        raise ValueError(f"{text!r} is out of range: addresses are 0 to {ADDRESSES - 1}, the first one first")
    table: Table = next(table for table in TABLES if table == match[1])
    return TableSpan(table, Span(first, last - first + 1))


def merged(ranges: list[TableSpan]) -> list[TableSpan]:
    """The same registers in as few ranges as can be, in order."""
    found: list[TableSpan] = []
    for each in sorted(ranges, key=lambda each: (TABLES.index(each.table), each.span)):
        if found and found[-1].table == each.table and each.span.address <= found[-1].span.end:
            span = found[-1].span
            count = max(span.end, each.span.end) - span.address
            found[-1] = TableSpan(each.table, Span(span.address, count))
        else:
            found.append(each)
    return found
