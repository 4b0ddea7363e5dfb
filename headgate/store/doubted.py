"""The ranges of UTC in which samples may lie whose time is uncertain: kept in `state.db`, for no window."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence

Range = tuple[int, int]
"""The first and the last UTC ms."""

MAX_RANGES = 64
NEAR_MS = 60_000
"""Ranges that are no further apart become one."""

_TABLE = "CREATE TABLE IF NOT EXISTS doubted(from_ms INTEGER NOT NULL, to_ms INTEGER NOT NULL)"
"""Came later, to files of the same version: a hub that does not know it does without."""


class DoubtedRows:
    """Part of the open `state.db`."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        db.execute(_TABLE)

    def all(self) -> list[Range]:
        """As they were put."""
        return [
            (low, high) for low, high in self._db.execute("SELECT from_ms, to_ms FROM doubted ORDER BY 1")
        ]

    def put(self, ranges: Iterable[Range]) -> None:
        """Store these in place of what was there."""
        self._db.execute("DELETE FROM doubted")
        self._db.executemany("INSERT INTO doubted(from_ms, to_ms) VALUES(?, ?)", list(ranges))


class Doubted:
    """At most MAX_RANGES ranges, the oldest are forgotten. `changed`: since `saved` was called."""

    def __init__(self, ranges: Iterable[Range] = ()) -> None:
        self.changed = False
        self._ranges = sorted(ranges)

    def ranges(self) -> list[Range]:
        """Oldest first, apart from each other."""
        return list(self._ranges)

    def saved(self) -> None:
        """What there is, is durable."""
        self.changed = False

    def add(self, times_ms: Sequence[int]) -> None:
        """Samples of uncertain time lie at these."""
        low, high = min(times_ms), max(times_ms)
        if any(first <= low and high <= last for first, last in self._ranges):
            return
        merged: list[Range] = []
        for first, last in sorted([*self._ranges, (low, high)]):
            if merged and first <= merged[-1][1] + NEAR_MS:
                merged[-1] = (merged[-1][0], max(merged[-1][1], last))
            else:
                merged.append((first, last))
        self._ranges = merged[-MAX_RANGES:]
        self.changed = True

    def overlaps(self, from_ms: int, to_ms: int) -> bool:
        """Whether any lie in from_ms <= t < to_ms."""
        return any(first < to_ms and from_ms <= last for first, last in self._ranges)

    def holds(self, t_ms: int) -> bool:
        """Whether a range holds this time."""
        return any(first <= t_ms <= last for first, last in self._ranges)
