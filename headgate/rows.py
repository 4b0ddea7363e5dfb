"""Rows of values under one layout, the body of a batch's groups: what has a fixed width lies row by row.

A layout is runs of columns of one tag: `h H i I q Q d` as in `struct`, `n` no value, `t` texts, `j` what no
other tag holds exactly. The rows' fixed part comes first, then each column of texts (u16 length + UTF-8 each)
and of `j` (u32 length and a JSON list). Little-endian, unpadded.
"""

from __future__ import annotations

import itertools
import json
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from headgate.errors import Reject
from headgate.model import Value

Row = Sequence[Value]
Types = tuple[type, ...]

FIXED = "hHiIqQd"
VARIABLE = "tj"
NOTHING = "n"
_INTEGERS = {
    tag: (-(1 << bits - 1), (1 << bits - 1) - 1) if tag.islower() else (0, (1 << bits) - 1)
    for tag, bits in (("h", 16), ("H", 16), ("i", 32), ("I", 32), ("q", 64), ("Q", 64))
}
"""Lowest and highest of each tag, the narrowest first."""
_RUN = struct.Struct("<BH")
MAX_LAYOUTS = 4_096
"""Layouts that are remembered: a shape for each read of the field bus, and some more while devices fail."""


@dataclass(slots=True)
class Layout:
    """How rows of some types are written. `negative`: a bit for each column in which one was met."""

    tags: str
    negative: int
    row: struct.Struct = field(init=False)
    head: bytes = field(init=False)
    plain: bool = field(init=False)

    def __post_init__(self) -> None:
        self.row = struct.Struct("<" + "".join(tag for tag in self.tags if tag in FIXED))
        found = [(tag, sum(1 for _ in run)) for tag, run in itertools.groupby(self.tags)]
        self.head = struct.pack("<H", len(found)) + b"".join(_RUN.pack(ord(tag), n) for tag, n in found)
        self.plain = all(tag in FIXED for tag in self.tags)

    def range(self, column: int) -> tuple[int, int]:
        """What integers may have been met in a column, as far as its tag tells."""
        low, high = _INTEGERS.get(self.tags[column], (0, 0))
        return (low if self.negative >> column & 1 else 0), high


class Layouts:
    """Remembers how rows of a shape were written, so that the next ones need no look at their values."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, Types], Layout] = {}

    def write(self, out: bytearray, shape: object, types: Types, rows: Sequence[Row]) -> Layout:
        """Append layout and rows; all rows are of `types`. `shape` names whose rows they are. Returns how."""
        layout = self._known.get((shape, types))
        if layout is not None:
            try:
                self._write(out, layout, rows)
            except struct.error:  # an integer that is wider than any before
                layout = _layout(types, rows, layout)
            else:
                return layout
        else:
            layout = _layout(types, rows, None)
        if len(self._known) >= MAX_LAYOUTS:
            self._known.clear()
        self._known[shape, types] = layout
        self._write(out, layout, rows)
        return layout

    def _write(self, out: bytearray, layout: Layout, rows: Sequence[Row]) -> None:
        pack = layout.row.pack
        if layout.plain:
            fixed = b"".join([pack(*row) for row in rows])
            out += layout.head
            out += fixed
            return
        keep = [i for i, tag in enumerate(layout.tags) if tag in FIXED]
        fixed = b"".join([pack(*[row[i] for i in keep]) for row in rows])
        out += layout.head
        out += fixed
        for i, tag in enumerate(layout.tags):
            if tag in VARIABLE:
                out += _variable(tag, [row[i] for row in rows])


def read_rows(reader: Reader, columns: int, count: int) -> list[tuple[Value, ...]]:
    """`count` rows of `columns` values. Raises Reject for anything that `Layouts.write` does not write."""
    runs = reader.take(_RUN.size * reader.u16())
    width = sum(count for _, count in _RUN.iter_unpack(runs))
    if width != columns:
        raise Reject(f"batch: a layout of {width} columns for {columns} series before byte {reader.at}")
    tags, fixed, row = _layout_of(reader, runs)
    data = reader.take(row.size * count)
    rows: list[tuple[Value, ...]] = list(row.iter_unpack(data)) if row.size else [()] * count
    if len(fixed) == columns:
        return rows
    found: dict[int, Iterable[Value]] = dict(zip(fixed, zip(*rows, strict=True), strict=False))
    for i, tag in enumerate(tags):
        if tag in VARIABLE:
            found[i] = _read_variable(reader, tag, count)
        elif tag == NOTHING:
            found[i] = (None,) * count
    return list(zip(*(found[i] for i in range(columns)), strict=True))


_Read = tuple[str, Sequence[int], struct.Struct]
"""Each column's tag, those of fixed size, and the struct of these."""


class Reader:
    """Takes bytes from the front and says where it stood when there were too few."""

    def __init__(self, wire: bytes) -> None:
        self._wire = wire
        self.at = 0

    def take(self, count: int) -> bytes:
        end = self.at + count
        if end > len(self._wire):
            raise Reject(f"batch cut short: {count} B expected at byte {self.at}, {len(self._wire)} B in all")
        taken = self._wire[self.at : end]
        self.at = end
        return taken

    def unpack(self, form: struct.Struct) -> tuple[Any, ...]:
        return form.unpack(self.take(form.size))

    def u8(self) -> int:
        return self.take(1)[0]

    def u16(self) -> int:
        return int.from_bytes(self.take(2), "little")

    def u32(self) -> int:
        return int.from_bytes(self.take(4), "little")

    def text(self, size_bytes: int) -> str:
        try:
            return self.take(size_bytes).decode()
        except UnicodeDecodeError as error:
            raise Reject(f"batch: text before byte {self.at} is not UTF-8") from error

    def short_text(self) -> str:
        return self.text(self.u8())

    def expect_end(self) -> None:
        if self.at != len(self._wire):
            raise Reject(f"batch: {len(self._wire) - self.at} B too many after byte {self.at}")


def _layout(types: Types, rows: Sequence[Row], known: Layout | None) -> Layout:
    """A narrow layout that holds these rows and every one before them."""
    tags, negative = [], 0
    for i, kind in enumerate(types):
        if kind is int or kind is bool:
            column: list[int] = [int(row[i]) for row in rows]  # type: ignore[arg-type]  # integers here
            low, high = known.range(i) if known is not None else (0, 0)
            low, high = min(low, *column), max(high, *column)
            negative |= (low < 0) << i
            tags.append(next((t for t, (a, z) in _INTEGERS.items() if a <= low and high <= z), "j"))
        elif kind is float:
            tags.append("d")
        elif kind is str and all(len(str(row[i]).encode()) < 1 << 16 for row in rows):
            tags.append("t")
        else:
            tags.append(NOTHING if kind is type(None) else "j")
    return _shared("".join(tags), negative)


@lru_cache(MAX_LAYOUTS)
def _shared(tags: str, negative: int) -> Layout:
    """The same object for equal ones: hundreds of devices of a kind have a few."""
    return Layout(tags, negative)


def _variable(tag: str, column: Sequence[Value]) -> bytes:
    if tag == "t":
        texts = [str(text).encode() for text in column]
        return b"".join(struct.pack("<H", len(text)) + text for text in texts)
    data = json.dumps(list(column), separators=(",", ":")).encode()
    return struct.pack("<I", len(data)) + data


def _layout_of(reader: Reader, runs: bytes) -> _Read:
    found = _known_layout(runs)
    if isinstance(found, str):
        raise Reject(f"batch: unknown column tag {found!r} before byte {reader.at}")
    return found


@lru_cache(MAX_LAYOUTS)
def _known_layout(runs: bytes) -> _Read | str:
    """A layout, which comes again with every batch; or the tag in it that is none."""
    tags = ""
    for code, count in _RUN.iter_unpack(runs):
        tag = chr(code)
        if tag not in FIXED and tag not in VARIABLE and tag != NOTHING:
            return tag
        tags += tag * count
    fixed = [i for i, tag in enumerate(tags) if tag in FIXED]
    return tags, fixed, struct.Struct("<" + "".join(tags[i] for i in fixed))


def _read_variable(reader: Reader, tag: str, count: int) -> Sequence[Value]:
    if tag == "t":
        return [reader.text(reader.u16()) for _ in range(count)]
    try:
        values = json.loads(reader.text(reader.u32()))
    except (ValueError, RecursionError) as error:
        raise Reject(f"batch: column before byte {reader.at} is no JSON: {error}") from error
    if (
        not isinstance(values, list)
        or len(values) != count
        or not all(isinstance(v, int | float | str) for v in values)
    ):
        raise Reject(f"batch: column before byte {reader.at} is not a list of {count} values")
    return values
