"""Samples and windows of many envelopes put together: each once, in order, of windows the one that holds.

They are kept in a temporary file, so that how much it is does not matter.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, fields
from types import TracebackType
from typing import Final

from headgate_cloud.forms import Envelope, Value, WindowRow

_SCHEMA: Final = """
CREATE TABLE samples(series TEXT, t INTEGER, value TEXT, quality INTEGER, unit TEXT,
                     PRIMARY KEY(series, t, value, quality)) WITHOUT ROWID;
CREATE TABLE windows(series TEXT, start INTEGER, length INTEGER, correction INTEGER, n INTEGER, row TEXT,
                     PRIMARY KEY(series, start, length)) WITHOUT ROWID;
"""
# Of one window the highest revision holds, and after a fork the one of more samples (docs/wire.md).
_WINDOW: Final = """
INSERT INTO windows VALUES(?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE
SET correction = excluded.correction, n = excluded.n, row = excluded.row
WHERE (excluded.correction, excluded.n) > (windows.correction, windows.n)
"""
_WINDOW_FIELDS: Final = tuple(
    each.name
    for each in fields(WindowRow)
    if each.name not in ("series", "decimals", "revision", "percentiles", "mean_step")
)


@dataclass(frozen=True, slots=True)
class MergedSample:
    """`value` is JSON; texts stand for NaN and the infinities."""

    series: str
    t_ms: int
    value: str
    quality: int
    unit: str


class Merged:
    """Use it as a context. Takes what is in [from_ms, to_ms), windows by their start."""

    def __init__(self, from_ms: int, to_ms: int, takes: Callable[[str], bool] = lambda _: True) -> None:
        self._from_ms, self._to_ms, self._takes = from_ms, to_ms, takes
        self._db = sqlite3.connect("", isolation_level=None)
        self._db.executescript(f"PRAGMA journal_mode = OFF;{_SCHEMA}")

    def __enter__(self) -> Merged:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._db.close()

    def add(self, envelope: Envelope) -> None:
        """An envelope, again or for the first time, in any order."""
        for column in envelope.columns:
            if self._takes(column.series):
                rows = [
                    (column.series, sample.t_ms, as_json(sample.value), sample.quality, column.unit)
                    for sample in column.samples()
                    if self._from_ms <= sample.t_ms < self._to_ms
                ]
                self._db.execute("BEGIN")
                self._db.executemany("INSERT OR IGNORE INTO samples VALUES(?, ?, ?, ?, ?)", rows)
                self._db.execute("COMMIT")
        for row in envelope.windows:
            if self._takes(row.series) and self._from_ms <= row.start_ms < self._to_ms:
                key = (row.series, row.start_ms, row.length_ms, row.correction, row.n)
                self._db.execute(_WINDOW, (*key, json.dumps(_window(row), ensure_ascii=False)))

    def samples(self) -> Iterator[MergedSample]:
        """By series and time."""
        with closing(self._db.execute("SELECT series, t, value, quality, unit FROM samples")) as rows:
            for row in rows:
                yield MergedSample(*row)

    def windows(self) -> Iterator[dict[str, object]]:
        """By series, start and length; what does not apply is left out."""
        with closing(self._db.execute("SELECT series, row FROM windows")) as rows:
            for series, row in rows:
                yield {"series": series, **json.loads(row)}


def as_json(value: Value | None) -> str:
    """Exact: of decimals and long integers every digit."""
    if isinstance(value, float) and not math.isfinite(value):
        return '"NaN"' if math.isnan(value) else '"Infinity"' if value > 0 else '"-Infinity"'
    if value is None or isinstance(value, bool | str | int | float):
        return json.dumps(value, ensure_ascii=False)
    return str(value)  # a Decimal


def _window(row: WindowRow) -> dict[str, object]:
    found = {name: _finite(value) for name in _WINDOW_FIELDS if (value := getattr(row, name)) is not None}
    if row.percentiles:
        found["percentiles"] = {f"{percent:g}": _finite(value) for percent, value in row.percentiles}
    return found


def _finite(value: object) -> object:
    return json.loads(as_json(value)) if isinstance(value, float) else value
