"""What `state.db` knows of shedding: files that are to go, envelopes that may, free room."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

SHED_AT_ONCE = 64
"""Envelopes of one transaction: about 300 kB, some ten ms on a card."""
RECORDS = ("shed", "dropped", "downsampled", "removed")
"""Reports that say what is gone: they are never shed themselves."""
CONVERT_BYTES = 4 * 1024**2
"""A `state.db` of a former hub, which could not shrink, is made one that can while it is no larger."""

_TABLE = """
CREATE TABLE IF NOT EXISTS leaving(path TEXT PRIMARY KEY, part TEXT NOT NULL, whole TEXT NOT NULL)
WITHOUT ROWID
"""
_ORDER = ("stream = 'backlog'", "stream IN ('live', 'plain')")
_LAST = "stream NOT IN ('backlog', 'live', 'plain') AND " + " AND ".join(
    f"""instr(body, CAST('"report":{{"type":"{name}"' AS BLOB)) = 0""" for name in RECORDS
)


@dataclass(frozen=True, slots=True)
class Leaving:
    """A file below the state root that is to be removed; `part`, if any, is to be named `whole` before."""

    path: str
    part: str = ""
    whole: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A waiting envelope that may be shed."""

    row: int
    stream: str
    epoch: str
    seq: int
    samples: int
    size_bytes: int


class ShedRows:
    """Writes belong inside `State.transaction`."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._looked: dict[str, int] = {}
        db.execute(_TABLE)
        db.execute("CREATE TABLE IF NOT EXISTS shed_days(day INTEGER PRIMARY KEY, through INTEGER NOT NULL)")

    def leaving(self) -> list[Leaving]:
        """The files whose removal is decided and not known to be done."""
        return [Leaving(*row) for row in self._db.execute("SELECT path, part, whole FROM leaving")]

    def leave(self, file: Leaving) -> None:
        """Decide it."""
        row = (file.path, file.part, file.whole)
        self._db.execute("INSERT OR REPLACE INTO leaving(path, part, whole) VALUES(?, ?, ?)", row)

    def left(self, path: str) -> None:
        """It is done."""
        self._db.execute("DELETE FROM leaving WHERE path = ?", (path,))

    def days(self) -> dict[int, int]:
        """Days (since 1970) of which raw samples were shed: the journal position before which they were."""
        return dict(self._db.execute("SELECT day, through FROM shed_days"))

    def add_day(self, day: int, through: int) -> None:
        """Raw samples of this day are shed, now or again."""
        self._db.execute("INSERT OR REPLACE INTO shed_days(day, through) VALUES(?, ?)", (day, through))

    def oldest(self, limit: int = SHED_AT_ONCE) -> list[Candidate]:
        """The envelopes that go first: the oldest of the backlog, then live ones, then alarms and reports."""
        for where in (*_ORDER, _LAST):
            after = self._looked.get(where, 0)
            rows = self._db.execute(
                "SELECT id, stream, epoch, seq, samples, length(body) FROM outbox "
                f"WHERE id > ? AND {where} ORDER BY id LIMIT ?",
                (after, limit),
            ).fetchall()
            if rows:
                return [Candidate(*row) for row in rows]
            newest = self._db.execute("SELECT max(id) FROM outbox").fetchone()[0]
            self._looked[where] = max(after, newest or 0)  # so that no search reads the same rows twice
        return []

    def delete(self, rows: Sequence[int]) -> None:
        """Remove envelopes from the outbox."""
        self._db.executemany("DELETE FROM outbox WHERE id = ?", [(row,) for row in rows])

    # The file itself; outside of transactions.

    def free_bytes(self) -> int:
        """Pages inside the file that hold nothing: new envelopes go there first."""
        free: int = self._db.execute("PRAGMA freelist_count").fetchone()[0]
        size: int = self._db.execute("PRAGMA page_size").fetchone()[0]
        return free * size

    def can_shrink(self) -> bool:
        """Whether free pages can be given back to the file system."""
        return bool(self._db.execute("PRAGMA auto_vacuum").fetchone()[0] == 2)

    def give_back(self, pages: int) -> None:
        """Return so many free pages to the file system, with the next `trim`."""
        self._db.execute(f"PRAGMA incremental_vacuum({pages})").fetchall()

    def trim(self) -> None:
        """Take the write-ahead log into the file, and leave it empty."""
        self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()


def grow_and_shrink(db: sqlite3.Connection) -> None:
    """Let a file give back free pages a few at a time, unless it is too large to be written anew for it."""
    if db.execute("PRAGMA auto_vacuum").fetchone()[0] == 2:
        return
    pages, page_bytes = (db.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
    if pages * page_bytes <= CONVERT_BYTES:
        db.execute("PRAGMA auto_vacuum=INCREMENTAL")
        db.execute("VACUUM")
