"""Sealed samples: `blocks/YYYYMMDD.db`, one SQLite file per UTC day, each readable without anything else.

Writing is idempotent by journal position: each file knows the position through which it holds everything, so
a replay after a crash adds nothing twice.
"""

from __future__ import annotations

import sqlite3
import struct
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np

from headgate.errors import Reject
from headgate.model import Series
from headgate.store import pack
from headgate.store.arrays import Stretch, joined
from headgate.store.day_file import (
    DAY_MS,
    SCHEMA,
    STEPS,
    VERSION,
    add_sums,
    block_sum,
    day_path,
    days_in,
    open_day,
    row_sum,
)
from headgate.store.head import Unsealed
from headgate.store.sqlite import connect, migrate, pending_bytes, transaction

OPEN_DAYS = 2
"""Files kept open for writing: today's, and one more for what comes late."""
_CHECKPOINT_PAGES = 256
"""A write-ahead log of about 1 MiB at most."""


class Blocks:
    """The day files of one state root, written by the store's one writer. `ids` grows with new series."""

    def __init__(self, folder: Path, ids: Mapping[Series, int]) -> None:
        self.folder = folder
        self._ids = ids
        self._open: dict[int, sqlite3.Connection] = {}
        self._through: dict[int, int] = {}
        folder.mkdir(parents=True, exist_ok=True)
        settle(folder)

    def close(self) -> None:
        """Leave every file whole in itself, with no log beside it."""
        for day in list(self._open):
            self._finish(day)

    def days(self) -> list[int]:
        """The days (since 1970) that have a file."""
        return days_in(self.folder)

    def write(self, unsealed: Sequence[Unsealed], end: int) -> None:
        """Add everything before the journal position `end`; durable when it returns, exact when repeated."""
        days: dict[int, list[Unsealed]] = {}
        for item in unsealed:
            for day, stretch in split_days(item.stretch):
                days.setdefault(day, []).append(Unsealed(item.position, stretch))
        for day, items in sorted(days.items()):
            self._write_day(day, items, end)

    def through(self, day: int) -> int:
        """The journal position before which a day's file holds everything."""
        if day not in self._through:
            exists = day_path(self.folder, day).exists()
            self._through[day] = _read_through(self._db(day)) if exists else 0
        return self._through[day]

    def forget(self, day: int) -> None:
        """Close a day's file, which is about to be replaced or removed."""
        self._through.pop(day, None)
        db = self._open.pop(day, None)
        if db is not None:
            with suppress(sqlite3.DatabaseError):
                leave_whole(db)

    def newest_through(self) -> int:
        """The journal position before which some file holds everything: none below it may be used again,
        also where journal or state.db are lost.
        """
        found = 0
        for day in self.days():
            with suppress(Reject), open_day(day_path(self.folder, day)) as reader:
                found = max(found, reader.through())
        return found

    def pending_bytes(self) -> int:
        """By how much files grow once their write-ahead logs are taken into them."""
        return sum(pending_bytes(db, day_path(self.folder, day)) for day, db in self._open.items())

    def trim(self) -> None:
        """Take the write-ahead logs into their files, and leave them empty."""
        for db in self._open.values():
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()

    def _write_day(self, day: int, items: Sequence[Unsealed], end: int) -> None:
        through = self.through(day)
        shapes: dict[int, list[Stretch]] = {}
        for item in items:
            if item.position >= through:
                shapes.setdefault(id(item.stretch.shape), []).append(item.stretch)
        if not shapes:
            return
        db = self._db(day)
        with transaction(db):
            for stretches in shapes.values():
                self._insert(db, joined(stretches), end)
            db.execute("INSERT OR REPLACE INTO meta VALUES('through', ?)", (max(through, end),))
        self._through[day] = max(through, end)

    def _insert(self, db: sqlite3.Connection, stretch: Stretch, end: int) -> None:
        series = stretch.shape.series
        ids = [self._ids[one] for one in series]
        key = struct.pack(f"<{len(ids)}I", *ids)
        found = db.execute("SELECT id FROM shapes WHERE series = ?", (key,)).fetchone()
        if found is None:
            db.executemany(
                "INSERT OR IGNORE INTO series(id, name, revision, unit, kind, decimals, sum) "
                "VALUES(?, ?, ?, ?, ?, ?, ?)",
                [series_row(number, one) for number, one in zip(ids, series, strict=True)],
            )
            shape: int = db.execute("SELECT coalesce(max(id), 0) + 1 FROM shapes").fetchone()[0]
            db.execute(
                "INSERT INTO shapes(id, series, sum) VALUES(?, ?, ?)", (shape, key, row_sum(shape, key))
            )
            found = (shape,)
        times = stretch.times_ms
        data = pack.encode(stretch)
        row = (found[0], int(times.min()), int(times.max()), len(stretch), end, data)
        db.execute(
            "INSERT INTO blocks(shape, first_ms, last_ms, samples, through, data, sum) "
            "VALUES(?, ?, ?, ?, ?, ?, ?)",
            (*row, block_sum(*row)),
        )

    def _db(self, day: int) -> sqlite3.Connection:
        db = self._open.pop(day, None)
        if db is None:
            while len(self._open) >= OPEN_DAYS:
                self._finish(next(iter(self._open)))
            path = day_path(self.folder, day)
            db = connect(path, wal=True)
            db.execute(f"PRAGMA wal_autocheckpoint={_CHECKPOINT_PAGES}")
            migrate(db, path, VERSION, SCHEMA, STEPS)
            add_sums(db)
        self._open[day] = db  # the last one used is the last one closed
        return db

    def _finish(self, day: int) -> None:
        leave_whole(self._open.pop(day))


def settle(folder: Path) -> None:
    """Finish what a crash left beside day files, which a reader, who may not write, could not do.

    Raises Fatal for a file that is no database or cannot be written.
    """
    for path in map(partial(day_path, folder), days_in(folder)):
        if any(path.with_name(path.name + log).exists() for log in ("-journal", "-wal")):
            leave_whole(connect(path, wal=True))


def leave_whole(db: sqlite3.Connection) -> None:
    """Close a day file so that no log is left beside it, if no reader has it open."""
    # A reader may have it open: then its log stays until it is written or settled again.
    try:
        with suppress(sqlite3.OperationalError):
            db.execute("PRAGMA busy_timeout=0")
            db.execute("PRAGMA journal_mode=DELETE")
    finally:
        db.close()


def series_row(number: int, one: Series) -> tuple[object, ...]:
    """A row of `series`, with its sum."""
    total = row_sum(number, one.name, one.unit, one.kind, one.decimals, one.revision)
    return number, one.name, one.revision, one.unit, one.kind, one.decimals, total


def split_days(stretch: Stretch) -> list[tuple[int, Stretch]]:
    """The samples by UTC day."""
    days = stretch.times_ms // DAY_MS
    first = int(days[0])
    if (days == first).all():
        return [(first, stretch)]
    return [(day, stretch.picked(days == day)) for day in np.unique(days).tolist()]


def _read_through(db: sqlite3.Connection) -> int:
    row = db.execute("SELECT value FROM meta WHERE key = 'through'").fetchone()
    return int(row[0]) if row else 0
