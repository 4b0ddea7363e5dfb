"""Packs samples and windows in the binary codec `compact` (schemas/compact.md). Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import accumulate, groupby, pairwise

import numpy as np
from numpy.typing import NDArray

from headgate.columns import Columns, Rows, merged, sliced
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
class _Block:
    """Series over the same times or windows, packed: any run of them can stand in an envelope.

    Blocks of one `axis` that follow each other share it. `length`: how many samples, or windows, of each.
    `plane(level, start, end)`: what the series from `start` to before `end` have on that level.
    `halves(i)`: one series as two blocks of half the length.
    """

    series: tuple[Series, ...]
    axis: bytes
    length: int
    heads: Sequence[bytes]
    plane: Callable[[int, int, int], bytes]
    halves: Callable[[int], list[_Block]]

    def part(self, start: int, end: int) -> _Block:
        """Some of the series."""
        return _Block(
            self.series[start:end],
            self.axis,
            self.length,
            self.heads[start:end],
            lambda level, first, last: self.plane(level, start + first, start + last),
            lambda i: self.halves(start + i),
        )


_Cut = tuple[_Block, int, int]
"""Of a block the series from one to before another."""


def pack_samples(
    groups: Iterable[Columns], clock: ClockState, room_bytes: int, book: SchemaBook
) -> list[Part]:
    """Every sample once, each series' in their order. `book` knows all series.

    Raises Reject when a single sample does not fit, which `headgate.columns` rules out.
    """
    blocks: list[_Block] = []
    for columns in merged(groups):
        starts = range(0, len(columns.times_ms), MAX_ROWS)
        blocks += [_sample_block(sliced(columns, first, first + MAX_ROWS)) for first in starts]
    return list(_fill("samples", blocks, clock, room_bytes, book))


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
        blocks = []
        for columns in in_columns(window for window in windows if window.clock is clock):
            for first in range(0, len(columns.starts_ms), MAX_ROWS):
                part = columns.part(first, first + MAX_ROWS)
                blocks.append(_window_block(part, statistics, rounded=rounded))
        parts += _fill("windows", blocks, clock, room_bytes, book)
    return parts


def _fill(
    kind: str, blocks: list[_Block], clock: ClockState, room_bytes: int, book: SchemaBook
) -> Iterator[Part]:
    """Parts that are nearly full: as many series as the bytes of a value let expect, then fewer or more."""
    at, per_value = 0, _GUESS_BYTES
    while at < sum(len(block.heads) for block in blocks):
        best: tuple[list[_Cut], bytes, tuple[bytes, ...]] | None = None
        count = _expected(blocks, at, room_bytes / per_value)
        while best is None or count > _count(best[0]):
            cuts = list(_cuts(blocks, at, count))
            data, pages = _body(cuts, book)
            size = len(data) + ID_BYTES * len(pages)
            per_value = size / _values(cuts)
            expected = _expected(blocks, at, room_bytes * _FULL / per_value)
            if size <= room_bytes:
                best = (cuts, data, pages)
                count = expected
            elif best is not None:
                break
            elif count > 1:
                count = min(count - 1, expected)
            elif cuts[0][0].length > 1:
                blocks = _halved(blocks, cuts[0])
            else:
                block, first, _ = cuts[0]
                raise Reject(f"one value of {block.series[first].name} does not fit into {room_bytes} B")
        cuts, data, pages = best
        yield Part(kind, clock, "", _values(cuts) if kind == "samples" else 0, COMPACT, data, pages)
        at += _count(cuts)


def _body(cuts: Sequence[_Cut], book: SchemaBook) -> tuple[bytes, tuple[bytes, ...]]:
    """The deflated body, and the ids of the schemas that it refers to."""
    pages: dict[bytes, int] = {}
    groups = [list(group) for _, group in groupby(cuts, key=lambda cut: cut[0].axis)]
    heads = [varint(len(groups))]
    for group in groups:
        heads += [group[0][0].axis, varint(_count(group))]
        before = -1
        for cut in group:
            before = _add_heads(heads, cut, before, pages, book)
    planes = (block.plane(level, start, end) for level in range(8) for block, start, end in cuts)
    return bits.deflated(heads, planes), tuple(pages)


def _add_heads(heads: list[bytes], cut: _Cut, before: int, pages: dict[bytes, int], book: SchemaBook) -> int:
    """Heads of lines, each behind its schema and the distance from the index `before`; returns the last."""
    block, start, end = cut
    place = 0
    for key, index, count in book.places(block.series):
        first, last = max(start, place), min(end, place + count)
        if first < last:
            page = varint(pages.setdefault(key, len(pages)))
            index += first - place
            heads += [page, zigzag(index - before - 1), (page + zigzag(0)).join(block.heads[first:last])]
            before = index + last - first - 1
        place += count
    return before


def _cuts(blocks: Sequence[_Block], at: int, count: int) -> Iterator[_Cut]:
    """The `count` series from the place `at` on, of all blocks."""
    for block in blocks:
        width = len(block.heads)
        start, end = max(at, 0), min(at + count, width)
        if start < end:
            yield block, start, end
        at -= width


def _expected(blocks: Sequence[_Block], at: int, values: float) -> int:
    """How many series from `at` on have so many values, one at least."""
    found = 0
    for block, start, end in _cuts(blocks, at, sum(len(block.heads) for block in blocks)):
        fitting = int(values // block.length)
        if fitting < end - start:
            found += max(0, fitting)
            break
        found += end - start
        values -= (end - start) * block.length
    return max(1, found)


def _count(cuts: Iterable[_Cut]) -> int:
    return sum(end - start for _, start, end in cuts)


def _values(cuts: Iterable[_Cut]) -> int:
    return sum((end - start) * block.length for block, start, end in cuts)


def _halved(blocks: Sequence[_Block], cut: _Cut) -> list[_Block]:
    """The same blocks, but for one series that becomes two of half the length."""
    halved, at, _ = cut
    found = []
    for block in blocks:
        if block is halved:
            parts = [block.part(0, at), *block.halves(at), block.part(at + 1, len(block.heads))]
            found += [part for part in parts if part.heads]
        else:
            found.append(block)
    return found


def _sample_block(columns: Columns) -> _Block:
    """Columns of integers, or of doubles that are such / 10^decimals, in one table; the others each alone."""
    series, count = columns.series, len(columns.times_ms)
    whole, fits = _integers(columns)
    table = bits.IntegerTable.of(whole)
    odd: dict[int, Packed] = {}
    for i in range(len(series)):
        if not fits[i]:
            unsigned = series[i].kind == "u64"
            odd[i] = bits.column(columns.values[i], series[i].decimals, unsigned=unsigned)
        if columns.quality[i] is not None:
            packed = odd.get(i) or Packed(table.heads[i], table.planes(i))
            odd[i] = bits.with_quality(packed, columns.quality[i])
    heads = [odd[i].head if i in odd else head for i, head in enumerate(table.heads)] if odd else table.heads

    def plane(level: int, start: int, end: int) -> bytes:
        found = []
        for i in sorted(i for i in odd if start <= i < end):
            found += [table.plane(level, start, i), *odd[i].planes[level : level + 1]]
            start = i + 1
        return b"".join((*found, table.plane(level, start, end)))

    axis = varint(count) + _steps(columns.times_ms)
    return _Block(series, axis, count, heads, plane, partial(_sample_halves, columns))


def _integers(columns: Columns) -> tuple[NDArray[np.uint64], NDArray[np.bool_]]:
    """For each column integers modulo 2^64, and whether they are all that there is to its values."""
    series, values = columns.series, columns.values
    doubles, decimals, integers = _kinds(series)
    shape = (len(series), len(columns.times_ms))
    fits = np.zeros(shape[0], np.bool_)
    if isinstance(values, Rows):
        flat = np.frombuffer(b"".join(values.packed), np.uint64)
        whole = flat.reshape(shape[::-1]).T.copy(order="C")
        numbers = whole[doubles].view(np.float64)
    else:
        whole = np.zeros(shape, np.uint64)
        gapless = np.array([None not in values[i] for i in doubles], np.bool_)
        doubles, decimals = doubles[gapless], decimals[gapless]
        numbers = np.array([values[i] for i in doubles], np.float64).reshape(len(doubles), shape[1])
        integers = np.array([i for i in integers if None not in values[i]], np.int64)
        for i in integers:
            whole[i] = np.array(values[i], np.uint64 if series[i].kind == "u64" else np.int64).view(np.uint64)
    fits[integers] = True
    found, exact = bits.scaled(numbers, decimals)
    whole[doubles], fits[doubles] = found.view(np.uint64), exact
    return whole, fits


@lru_cache(4_096)
def _kinds(
    series: tuple[Series, ...],
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Which are doubles that have decimals, their decimals, and which are integers."""
    doubles = [i for i, each in enumerate(series) if each.kind == "f64" and each.decimals is not None]
    integers = [i for i, each in enumerate(series) if each.kind in ("i64", "u64")]
    decimals = [series[i].decimals for i in doubles]
    return np.array(doubles, np.int64), np.array(decimals, np.int64), np.array(integers, np.int64)


def _sample_halves(columns: Columns, i: int) -> list[_Block]:
    alone = Columns((columns.series[i],), columns.times_ms, (columns.values[i],), (columns.quality[i],))
    middle = len(columns.times_ms) // 2
    return [_sample_block(sliced(alone, 0, middle)), _sample_block(sliced(alone, middle, 2 * middle + 1))]


def _window_block(columns: WindowColumns, statistics: frozenset[str], *, rounded: bool) -> _Block:
    rows = [columns_of(series, row, statistics, rounded=rounded) for series, row in columns.rows.items()]
    shapes = [_Shape.of(row) for row in rows]
    lists = [values for shape in shapes for values in shape.lists]
    places = list(accumulate((len(shape.lists) for shape in shapes), initial=0))  # where each line's begin
    table = bits.number_table(lists)
    heads = [
        shape.head + b"".join(table.heads[first:end])
        for shape, (first, end) in zip(shapes, pairwise(places), strict=True)
    ]

    def plane(level: int, start: int, end: int) -> bytes:
        return table.plane(level, places[start], places[end])

    def halves(i: int) -> list[_Block]:
        series = tuple(columns.rows)[i]
        alone = replace(columns, rows={series: columns.rows[series]})
        count = len(columns.starts_ms)
        parts = (alone.part(0, count // 2), alone.part(count // 2, count))
        return [_window_block(part, statistics, rounded=rounded) for part in parts]

    return _Block(tuple(columns.rows), _window_axis(columns), len(columns.starts_ms), heads, plane, halves)


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
