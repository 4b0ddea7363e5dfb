"""Packs closed windows as JSON: columns of statistics over time, by series, greedily."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from headgate.envelope.header import COLUMNS, Part
from headgate.envelope.numbers import plain
from headgate.envelope.window_columns import STATISTICS, RowColumns, WindowColumns, columns_of, in_columns
from headgate.errors import Reject
from headgate.model import ClockState, Series, Value, Window

ALL = frozenset(STATISTICS)
MAX_WINDOWS = 120
"""Windows in one row at most: longer rows leave more of an envelope empty."""
_FRAME_BYTES = len('"sets":[],"windows":[]}')
_WORTH_BYTES = 160
"""Room that is worth being filled with the first windows of a row."""


def pack_windows(
    windows: Sequence[Window], room_bytes: int, *, statistics: frozenset[str] = ALL, rounded: bool = True
) -> list[Part]:
    """Every row exactly once, in parts of at most `room_bytes`; a part holds windows of one clock state.

    `statistics`: which of STATISTICS are sent. `rounded`: see `columns_of`. Raises Reject when a row of one
    window does not fit, which the limits of units and names rule out.
    """
    parts: list[Part] = []
    for clock in sorted({window.clock for window in windows}):
        packer = _Packer(clock, room_bytes, statistics, rounded=rounded)
        for columns in in_columns(window for window in windows if window.clock is clock):
            for first in range(0, len(columns.starts_ms), MAX_WINDOWS):
                packer.add(columns.part(first, first + MAX_WINDOWS))
        parts += packer.finish()
    return parts


class _Packer:
    """Fills one part after the other: blocks of windows, in each the rows of many series."""

    def __init__(
        self, clock: ClockState, room_bytes: int, statistics: frozenset[str], *, rounded: bool
    ) -> None:
        self._clock = clock
        self._room_bytes = room_bytes
        self._statistics = statistics
        self._rounded = rounded
        self._parts: list[Part] = []
        self._head = ""
        self._size_bytes = 0
        self._clear()

    def add(self, columns: WindowColumns) -> None:
        found = {
            series: columns_of(series, rows, self._statistics, rounded=self._rounded)
            for series, rows in columns.rows.items()
        }
        counts = {count for row in found.values() for count in row.counts}
        count = counts.pop() if len(counts) == 1 else None
        names = [name for name in STATISTICS if name in self._statistics]
        head = _head(columns, count, names)
        self._end_block()
        for series, row in found.items():
            text = _row(series, row, count, names)
            if self._put(head, series, text):
                continue
            room = self._room_bytes - self._size_bytes - len(head)
            whole = text.size_bytes + len(series.name) + 20
            length = len(columns.starts_ms)
            share = length * (room - 60) // whole if room > _WORTH_BYTES else 0
            if share >= 2 and share < length:
                self._split(columns, series, share)
                continue
            self._flush()
            if not self._put(head, series, text):
                if length == 1:
                    raise Reject(f"a window of {series.name} does not fit into {self._room_bytes} B")
                self._split(columns, series, length // 2)

    def finish(self) -> list[Part]:
        self._flush()
        return self._parts

    def _split(self, columns: WindowColumns, series: Series, first: int) -> None:
        alone = WindowColumns(
            columns.length_ms,
            columns.step_ms,
            columns.starts_ms,
            columns.revisions,
            {series: columns.rows[series]},
        )
        self.add(alone.part(0, first))
        self.add(alone.part(first, len(columns.starts_ms)))
        self._end_block()

    def _put(self, head: str, series: Series, row: _RowText) -> bool:
        decimals = plain(series.decimals)
        shape = f'[{json.dumps(series.unit)},"{series.kind}",{decimals},{series.revision}]'
        at = self._sets.get(shape, len(self._sets))
        more = [f'"s":{at}', *row.more] if at else row.more
        text = f'"{series.name}":[{row.columns}{",{" + ",".join(more) + "}" if more else ""}]'
        size = len(text) + 1 + (0 if shape in self._sets else len(shape) + 1)
        if head != self._head:
            size += len(head) + 3
        if self._size_bytes + size > self._room_bytes:
            return False
        if head != self._head:
            self._end_block()
            self._head = head
        self._sets.setdefault(shape, at)
        self._rows.append(text)
        self._size_bytes += size
        return True

    def _clear(self) -> None:
        self._sets: dict[str, int] = {}
        self._blocks: list[str] = []
        self._rows: list[str] = []
        self._head = ""
        self._size_bytes = _FRAME_BYTES

    def _end_block(self) -> None:
        if self._rows:
            self._blocks.append(f"{self._head}{','.join(self._rows)}}}}}")
        self._rows = []
        self._head = ""

    def _flush(self) -> None:
        self._end_block()
        if self._blocks:
            text = f'"sets":[{",".join(self._sets)}],"windows":[{",".join(self._blocks)}]}}'
            self._parts.append(Part("windows", self._clock, text, 0, COLUMNS))
        self._clear()


def _head(columns: WindowColumns, count: int | None, names: Sequence[str]) -> str:
    runs = list(_runs(columns.starts_ms, columns.step_ms or columns.length_ms))
    step = "" if columns.step_ms is None else f'"step_ms":{columns.step_ms},'
    revisions = columns.revisions
    revision = f'"rev":{_list(revisions)},' if any(revisions) else ""
    n = "" if count is None else f'"n":{count},'
    starts = ",".join(f"[{first},{length}]" for first, length in runs)
    return (
        f'{{"start":[{starts}],"length_ms":{columns.length_ms},{step}{revision}{n}'
        f'"columns":{json.dumps(names, separators=(",", ":"))},"rows":{{'
    )


def _runs(starts_ms: Sequence[int], step_ms: int) -> Iterator[tuple[int, int]]:
    """(first start, how many) of windows that follow each other."""
    first, length = starts_ms[0], 1
    for before, start in pairwise(starts_ms):
        if start == before + step_ms:
            length += 1
            continue
        yield first, length
        first, length = start, 1
    yield first, length


@dataclass(frozen=True, slots=True)
class _RowText:
    """A row's columns, and what stands behind them where it is not as usual."""

    columns: str
    more: list[str]

    @property
    def size_bytes(self) -> int:
        return len(self.columns) + sum(map(len, self.more))


def _row(series: Series, row: RowColumns, count: int | None, names: Sequence[str]) -> _RowText:
    means: Sequence[Value] = row.numbers["mean"]
    scaled, more = dict(row.numbers), []
    now: Value = means[-1]
    if row.digits is not None:
        whole: list[int] = means  # type: ignore[assignment]  # integers where there are digits
        now = whole[-1] / 10**row.digits
        scaled["mean"] = [after - before for before, after in pairwise(whole)]
        if "min" in scaled:
            scaled["min"] = [-value for value in scaled["min"]]  # type: ignore[operator]  # integers too
    if row.digits != (series.decimals or 0):
        more.append(f'"m":{plain(row.digits)}')
    if count is None:
        more.append(f'"n":{_list(row.counts)}')
    columns = ",".join([plain(now), *(_list(scaled[name]) for name in names)])
    if "tmean" in scaled:
        more.append(f'"tmean":{_list(scaled["tmean"])}')
    more += [f'"{name}":{_list(values)}' for name, values in row.plain.items()]
    if row.percentiles:
        pairs = ",".join(f'"{percent}":{_list(values)}' for percent, values in row.percentiles.items())
        more.append(f'"p":{{{pairs}}}')
    return _RowText(columns, more)


def _list(values: Sequence[Value]) -> str:
    """All of them, or the one that all are."""
    texts = [str(value) if type(value) is int else plain(value) for value in values]
    if texts and texts.count(texts[0]) == len(texts):
        return texts[0]
    return f"[{','.join(texts)}]"
