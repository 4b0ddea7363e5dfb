"""Takes out of a dump what names somebody's device: texts, objects of the owner's, ranges asked for; pure."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from headgate.modbus.commissioning.explore import Found
from headgate.modbus.commissioning.ranges import TableSpan
from headgate.modbus.planner import Span
from headgate.modbus.tags import Table

MIN_TEXT = 8
"""Characters in a row that are a text: fewer are numbers more often than not."""
_TEXT = re.compile(rb"(?:[0-9A-Za-z ._/+:#()-]{2})+")
_LETTER = re.compile(rb"[0-9A-Za-z]")
PRODUCT_OBJECTS = range(6)
"""Objects of the device identification that speak of the product: from the vendor's name to the model's."""
STRING, ASKED, PROFILE = "text", "asked", "profile"


def redact_found(
    table: Table,
    found: Found,
    *,
    asked: Sequence[TableSpan],
    numbers: Sequence[TableSpan],
    texts: Sequence[TableSpan],
    strings: bool,
) -> list[tuple[TableSpan, str]]:
    """Redact a table's registers in place, and say what was.

    What is `asked` for becomes 0; `texts` (of a profile) become x; so do the texts that are found, with
    `strings`, where no `numbers` of a profile lie.
    """
    done: list[tuple[TableSpan, str]] = []
    for address, values in found.stretches.items():
        for start, count in _found_texts(values) if strings and table in ("holding", "input") else ():
            if not any(each.table == table and each.meets(address + start, count) for each in numbers):
                _cross_out(values, start, count)
                done.append((TableSpan(table, Span(address + start, count)), STRING))
        for each in texts:
            _each_register(table, address, values, each, PROFILE, done)
        for each in asked:
            _each_register(table, address, values, each, ASKED, done)
    return sorted(done)


def redact_objects(objects: Mapping[int, bytes]) -> dict[int, bytes]:
    """Objects of the product stay; of the others each letter and digit becomes x."""
    return {
        number: value if number in PRODUCT_OBJECTS else crossed_out(value)
        for number, value in objects.items()
    }


def crossed_out(data: bytes) -> bytes:
    """The same length, every letter and digit an x."""
    return _LETTER.sub(b"x", data)


def _each_register(
    table: Table,
    address: int,
    values: list[int],
    each: TableSpan,
    why: str,
    done: list[tuple[TableSpan, str]],
) -> None:
    first = max(each.span.address - address, 0)
    count = min(each.span.end - address, len(values)) - first
    if each.table != table or count <= 0:
        return
    if why == ASKED:
        values[first : first + count] = [0] * count
    else:
        _cross_out(values, first, count)
    done.append((TableSpan(table, Span(address + first, count)), why))


def _cross_out(values: list[int], start: int, count: int) -> None:
    data = b"".join(value.to_bytes(2, "big") for value in values[start : start + count])
    data = crossed_out(data)
    values[start : start + count] = [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)]


def _found_texts(values: Sequence[int]) -> list[tuple[int, int]]:
    """(first register, registers) of what reads as text, in either byte order."""
    data = b"".join(int(value).to_bytes(2, "big") for value in values)
    found = []
    at = 0
    while match := _TEXT.search(data, at):
        start, end = match.span()
        if start % 2:  # registers are whole
            at = start + 1
            continue
        at = end
        text = match[0].strip()
        if len(text) >= MIN_TEXT and _LETTER.search(text):
            found.append((start // 2, (end - start) // 2))
    return found
