"""Sealed samples: `blocks/YYYYMMDD.db`, one SQLite file per UTC day, each readable without anything else.

Writing is idempotent by journal position: each file knows the position through which it holds everything, so
a replay after a crash adds nothing twice.
"""

from __future__ import annotations

import datetime
import sqlite3
import struct
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from headgate.columns import Columns, merged, picked
from headgate.model import Series
from headgate.store import pack
from headgate.store.sqlite import connect, migrate, transaction

VERSION = 1
DAY_MS = 86_400_000

_SCHEMA = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE series(id INTEGER PRIMARY KEY, name TEXT NOT NULL, revision INTEGER NOT NULL, unit TEXT NOT NULL,
                    kind TEXT NOT NULL, decimals INTEGER);
CREATE TABLE shapes(id INTEGER PRIMARY KEY, series BLOB NOT NULL UNIQUE);
CREATE TABLE blocks(id INTEGER PRIMARY KEY, shape INTEGER NOT NULL, first_ms INTEGER NOT NULL,
                    last_ms INTEGER NOT NULL, samples INTEGER NOT NULL, data BLOB NOT NULL);
CREATE INDEX blocks_by_time ON blocks(shape, first_ms)
"""


@dataclass(frozen=True, slots=True)
class Unsealed:
    """Columns of the batch at one journal position, not in a block yet."""

    position: int
    columns: Columns


class Blocks:
    """The day files of one state root, written by the store's one writer. `ids` grows with new series."""

    def __init__(self, folder: Path, ids: Mapping[Series, int]) -> None:
        self._folder = folder
        self._ids = ids
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, unsealed: Sequence[Unsealed], end: int) -> None:
        """Add everything before the journal position `end`; durable when it returns, exact when repeated."""
        days: dict[int, list[Unsealed]] = {}
        for item in unsealed:
            for day, columns in split_days(item.columns):
                days.setdefault(day, []).append(Unsealed(item.position, columns))
        for day, items in days.items():
            self._write_day(day, items, end)

    def read(self, names: frozenset[str], from_ms: int, to_ms: int) -> Iterator[Columns]:
        """The blocks that may hold samples of `names` in from_ms <= t < to_ms, day by day."""
        for day in sorted(self.days()):
            if day * DAY_MS < to_ms and (day + 1) * DAY_MS > from_ms:
                yield from _read_day(self._path(day), names, from_ms, to_ms)

    def days(self) -> list[int]:
        """The days (since 1970) that have a file."""
        epoch = datetime.date(1970, 1, 1)
        found = []
        for path in self._folder.glob("????????.db"):
            try:
                date = datetime.datetime.strptime(path.stem, "%Y%m%d").replace(tzinfo=datetime.UTC).date()
            except ValueError:
                continue
            found.append((date - epoch).days)
        return found

    def _path(self, day: int) -> Path:
        return self._folder / f"{datetime.date(1970, 1, 1) + datetime.timedelta(days=day):%Y%m%d}.db"

    def _write_day(self, day: int, items: Sequence[Unsealed], end: int) -> None:
        path = self._path(day)
        with closing(connect(path, wal=False)) as db:
            migrate(db, path, VERSION, _SCHEMA)
            row = db.execute("SELECT value FROM meta WHERE key = 'through'").fetchone()
            through = row[0] if row else 0
            fresh = [item.columns for item in items if item.position >= through]
            with transaction(db):
                for columns in merged(fresh):
                    self._insert(db, columns)
                db.execute("INSERT OR REPLACE INTO meta VALUES('through', ?)", (max(through, end),))

    def _insert(self, db: sqlite3.Connection, columns: Columns) -> None:
        ids = [self._ids[series] for series in columns.series]
        key = struct.pack(f"<{len(ids)}I", *ids)
        found = db.execute("SELECT id FROM shapes WHERE series = ?", (key,)).fetchone()
        if found is None:
            db.executemany(
                "INSERT OR IGNORE INTO series VALUES(?, ?, ?, ?, ?, ?)",
                [
                    (number, s.name, s.revision, s.unit, s.kind, s.decimals)
                    for number, s in zip(ids, columns.series, strict=True)
                ],
            )
            found = (db.execute("INSERT INTO shapes(series) VALUES(?)", (key,)).lastrowid,)
        times = columns.times_ms
        db.execute(
            "INSERT INTO blocks(shape, first_ms, last_ms, samples, data) VALUES(?, ?, ?, ?, ?)",
            (found[0], min(times), max(times), len(columns), pack.encode(columns)),
        )


def split_days(columns: Columns) -> list[tuple[int, Columns]]:
    """The columns by UTC day."""
    days = [t // DAY_MS for t in columns.times_ms]
    if days[0] == days[-1] and len(set(days)) == 1:
        return [(days[0], columns)]
    return [(day, picked(columns, [i for i, d in enumerate(days) if d == day])) for day in sorted(set(days))]


def _read_day(path: Path, names: frozenset[str], from_ms: int, to_ms: int) -> Iterator[Columns]:
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
        rows = db.execute("SELECT id, name, unit, kind, decimals, revision FROM series")
        series = {row[0]: Series(*row[1:]) for row in rows}
        wanted = {number for number, s in series.items() if s.name in names}
        for shape, key in db.execute("SELECT id, series FROM shapes").fetchall():
            ids = struct.unpack(f"<{len(key) // 4}I", key)
            if wanted.isdisjoint(ids):
                continue
            table = tuple(series[number] for number in ids)
            blocks = db.execute(
                "SELECT data FROM blocks WHERE shape = ? AND first_ms < ? AND last_ms >= ? ORDER BY id",
                (shape, to_ms, from_ms),
            )
            for (data,) in blocks:
                yield pack.decode(data, table)
