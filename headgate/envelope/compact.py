"""Packs samples and windows in the binary codec `compact` (schemas/compact.md). Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby, pairwise

from headgate.columns import Columns, merged
from headgate.envelope import bits
from headgate.envelope.bits import Packed
from headgate.envelope.header import COMPACT, Part, varint, zigzag
from headgate.envelope.schemas import ID_BYTES, SchemaBook
from headgate.envelope.window_columns import (
    ASKED,
    STATISTICS,
    RowColumns,
    WindowColumns,
    columns_of,
    in_columns,
)
from headgate.errors import Reject
from headgate.model import ClockState, Series, Value, Window

MAX_ROWS = 1_000
"""Times, or windows, in one column at most."""
ALL = frozenset(STATISTICS)
NAMES = (*STATISTICS, "tmean", *(name for name, _ in ASKED))
"""Bits of a row's statistics, the lowest first."""
_FULL = 0.97
_GUESS_BYTES = 0.6
"""Of a value, before any was packed."""


@dataclass(frozen=True, slots=True)
class _Line:
    """One series over some times or windows, packed: what stands whole in an envelope.

    Lines of one `axis` that follow each other share it. `length`: how many samples, or windows.
    """

    series: Series
    axis: bytes
    length: int
    head: bytes
    columns: Sequence[Packed]
    halves: Callable[[], list[_Line]]


def pack_samples(
    groups: Iterable[Columns], clock: ClockState, room_bytes: int, book: SchemaBook
) -> list[Part]:
    """Every sample once, each series' in their order. `book` knows all series.

    Raises Reject when a single sample does not fit, which `headgate.columns` rules out.
    """
    lines = []
    for columns in merged(groups):
        for first in range(0, len(columns.times_ms), MAX_ROWS):
            lines += _sample_lines(_rows(columns, first, first + MAX_ROWS))
    return list(_fill("samples", lines, clock, room_bytes, book))


def pack_windows(
    windows: Sequence[Window],
    room_bytes: int,
    book: SchemaBook,
    *,
    statistics: frozenset[str] = ALL,
    rounded: bool = True,
) -> list[Part]:
    """Every row once; a part holds windows of one clock state. See `headgate.envelope.windows`."""
    parts: list[Part] = []
    for clock in sorted({window.clock for window in windows}):
        lines = []
        for columns in in_columns(window for window in windows if window.clock is clock):
            for first in range(0, len(columns.starts_ms), MAX_ROWS):
                lines += _window_lines(columns.part(first, first + MAX_ROWS), statistics, rounded=rounded)
        parts += _fill("windows", lines, clock, room_bytes, book)
    return parts


def _fill(
    kind: str, lines: list[_Line], clock: ClockState, room_bytes: int, book: SchemaBook
) -> Iterator[Part]:
    """Parts that are nearly full: as many lines as the bytes of a value let expect, then fewer or more."""
    at = 0
    per_value = _GUESS_BYTES
    while at < len(lines):
        best: tuple[int, bytes, tuple[bytes, ...]] | None = None
        count = _expected(lines, at, room_bytes / per_value)
        while best is None or count > best[0]:
            data, pages = _body(lines[at : at + count], book)
            size = len(data) + ID_BYTES * len(pages)
            per_value = size / sum(line.length for line in lines[at : at + count])
            expected = _expected(lines, at, room_bytes * _FULL / per_value)
            if size <= room_bytes:
                best = (count, data, pages)
                count = expected
            elif best is not None:
                break
            elif count > 1:
                count = min(count - 1, expected)
            elif lines[at].length > 1:
                lines[at : at + 1] = lines[at].halves()
            else:
                raise Reject(f"one value of {lines[at].series.name} does not fit into {room_bytes} B")
        count, data, pages = best
        samples = sum(line.length for line in lines[at : at + count]) if kind == "samples" else 0
        yield Part(kind, clock, "", samples, COMPACT, data, pages)
        at += count


def _body(lines: Sequence[_Line], book: SchemaBook) -> tuple[bytes, tuple[bytes, ...]]:
    """The deflated body, and the ids of the schemas that it refers to."""
    pages: dict[bytes, int] = {}
    blocks = [list(block) for _, block in groupby(lines, key=lambda line: line.axis)]
    heads = [varint(len(blocks))]
    for block in blocks:
        heads += [block[0].axis, varint(len(block))]
        before = -1
        for line in block:
            page, index = book.place(line.series)
            heads += [varint(pages.setdefault(page, len(pages))), zigzag(index - before - 1), line.head]
            before = index
    return bits.deflated(heads, (column for line in lines for column in line.columns)), tuple(pages)


def _expected(lines: Sequence[_Line], at: int, values: float) -> int:
    count = 0
    for line in lines[at:]:
        values -= line.length
        if values < 0:
            break
        count += 1
    return max(1, count)


def _sample_lines(columns: Columns) -> list[_Line]:
    """Columns of doubles with the same decimals and no gaps are packed together, the others each alone."""
    found: dict[int, Packed | None] = {}
    alike: dict[int, list[int]] = {}
    for i, series in enumerate(columns.series):
        if series.kind == "f64" and series.decimals is not None and None not in columns.values[i]:
            alike.setdefault(series.decimals, []).append(i)
    for decimals, members in alike.items():
        rows = [columns.values[i] for i in members]
        found |= zip(members, bits.scaled_matrix(rows, decimals), strict=True)
    axis = varint(len(columns.times_ms)) + _steps(columns.times_ms)
    lines = []
    for i, series in enumerate(columns.series):
        packed = found.get(i) or bits.column(
            columns.values[i], series.decimals, unsigned=series.kind == "u64"
        )
        packed = bits.with_quality(packed, columns.quality[i])
        halves = partial(_sample_halves, columns, i)
        lines.append(_Line(series, axis, len(columns.times_ms), packed.head, (packed,), halves))
    return lines


def _sample_halves(columns: Columns, i: int) -> list[_Line]:
    alone = Columns((columns.series[i],), columns.times_ms, (columns.values[i],), (columns.quality[i],))
    middle = len(columns.times_ms) // 2
    return [*_sample_lines(_rows(alone, 0, middle)), *_sample_lines(_rows(alone, middle, 2 * middle + 1))]


def _window_lines(columns: WindowColumns, statistics: frozenset[str], *, rounded: bool) -> list[_Line]:
    rows = [columns_of(series, row, statistics, rounded=rounded) for series, row in columns.rows.items()]
    shapes = [_Shape.of(row) for row in rows]
    packed = iter(bits.number_columns([values for shape in shapes for values in shape.lists]))
    axis = _window_axis(columns)
    lines = []
    for series, shape in zip(columns.rows, shapes, strict=True):
        found = [next(packed) for _ in shape.lists]
        head = shape.head + b"".join(column.head for column in found)
        halves = partial(_window_halves, columns, series, statistics, rounded=rounded)
        lines.append(_Line(series, axis, len(columns.starts_ms), head, found, halves))
    return lines


def _window_halves(
    columns: WindowColumns, series: Series, statistics: frozenset[str], *, rounded: bool
) -> list[_Line]:
    alone = replace(columns, rows={series: columns.rows[series]})
    middle = len(columns.starts_ms) // 2
    halves = (alone.part(0, middle), alone.part(middle, len(columns.starts_ms)))
    return [line for half in halves for line in _window_lines(half, statistics, rounded=rounded)]


def _window_axis(columns: WindowColumns) -> bytes:
    revisions = columns.revisions if any(columns.revisions) else ()
    return b"".join(
        (
            varint(len(columns.starts_ms)),
            _steps(columns.starts_ms),
            varint(columns.length_ms),
            varint(columns.step_ms or 0),
            varint(len(revisions)),
            *map(varint, revisions),
        )
    )


@dataclass(frozen=True, slots=True)
class _Shape:
    """Which statistics a row has, as its head says it, and their columns in that order."""

    head: bytes
    lists: Sequence[Sequence[Value]]

    @staticmethod
    def of(row: RowColumns) -> _Shape:
        known = {**row.numbers, **row.plain}
        there = [name for name in NAMES if name in known]
        digits = 0 if row.digits is None else row.digits + 1
        mask = sum(1 << NAMES.index(name) for name in there)
        percents = [varint(len(text)) + text.encode() for text in row.percentiles]
        head = varint(digits) + varint(mask) + varint(len(percents)) + b"".join(percents)
        return _Shape(head, [row.counts, *(known[name] for name in there), *row.percentiles.values()])


def _steps(numbers: Sequence[int]) -> bytes:
    return zigzag(numbers[0]) + b"".join(zigzag(after - before) for before, after in pairwise(numbers))


def _rows(columns: Columns, start: int, end: int) -> Columns:
    if start == 0 and end >= len(columns.times_ms):
        return columns
    part = slice(start, end)
    quality = [None if codes is None else codes[part] for codes in columns.quality]
    return Columns(columns.series, columns.times_ms[part], [v[part] for v in columns.values], quality)
