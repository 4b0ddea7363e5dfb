"""Ranges of series out of blocks and what is not sealed yet, one day in memory at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass

from headgate.columns import Columns
from headgate.model import Series, Value
from headgate.store.blocks import DAY_MS, Blocks, Unsealed


@dataclass(frozen=True, slots=True)
class Column:
    """Samples of one series within one UTC day, by time (of equal times: as acquired)."""

    series: Series
    times_ms: list[int]
    values: list[Value]
    quality: list[int]


def query(
    blocks: Blocks,
    unsealed: Iterable[Unsealed],
    names: Collection[str],
    from_ms: int,
    to_ms: int,
    *,
    newest_first: bool = False,
) -> Iterator[Column]:
    """Samples of the named series with from_ms <= t < to_ms, a Column per series, revision and day."""
    wanted = frozenset(names)
    waiting = [item.columns for item in unsealed]
    days = set(blocks.days()) | {t // DAY_MS for columns in waiting for t in columns.times_ms}
    for day in sorted(days, reverse=newest_first):
        low, high = max(from_ms, day * DAY_MS), min(to_ms, (day + 1) * DAY_MS)
        if low >= high:
            continue
        found: dict[Series, list[tuple[int, Value, int]]] = {}
        for columns in (*blocks.read(wanted, low, high), *waiting):
            _collect(found, columns, wanted, low, high)
        for series, rows in sorted(found.items(), key=lambda item: (item[0].name, item[0].revision)):
            rows.sort(key=lambda row: row[0], reverse=newest_first)
            yield Column(series, [r[0] for r in rows], [r[1] for r in rows], [r[2] for r in rows])


def _collect(
    found: dict[Series, list[tuple[int, Value, int]]],
    columns: Columns,
    wanted: frozenset[str],
    low: int,
    high: int,
) -> None:
    rows = [j for j, t in enumerate(columns.times_ms) if low <= t < high]
    if not rows:
        return
    for i, series in enumerate(columns.series):
        if series.name in wanted:
            values, quality = columns.values[i], columns.quality[i]
            found.setdefault(series, []).extend(
                (columns.times_ms[j], values[j], quality[j] if quality else 0) for j in rows
            )
