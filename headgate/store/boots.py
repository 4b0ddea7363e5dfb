"""The rows of `state.db` that say what is known of UTC in the machine's newest boots."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from headgate.model import ClockState
from headgate.timeline import KEPT_BOOTS, Boot

BootRow = tuple[str, Boot]
"""A boot's id and what is known of it."""

_TABLE = """
CREATE TABLE IF NOT EXISTS boots(id INTEGER PRIMARY KEY AUTOINCREMENT, boot TEXT NOT NULL UNIQUE,
                                 offset_ms INTEGER NOT NULL, clock INTEGER NOT NULL, boot_ms INTEGER NOT NULL)
"""
"""Came later, to files of the same version: a hub that does not know it does without."""


class BootRows:
    """Part of the open `state.db`."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        db.execute(_TABLE)

    def all(self) -> dict[str, Boot]:
        """The newest boots, oldest first."""
        rows = self._db.execute("SELECT boot, offset_ms, clock, boot_ms FROM boots ORDER BY id")
        return {boot: Boot(offset_ms, ClockState(clock), boot_ms) for boot, offset_ms, clock, boot_ms in rows}

    def put(self, rows: Iterable[BootRow]) -> None:
        """Store what is known; the oldest boots are forgotten."""
        self._db.executemany(
            "INSERT OR REPLACE INTO boots(boot, offset_ms, clock, boot_ms) VALUES(?, ?, ?, ?)",
            [(boot, known.offset_ms, known.clock, known.boot_ms) for boot, known in rows],
        )
        self._db.execute(
            "DELETE FROM boots WHERE id NOT IN (SELECT id FROM boots ORDER BY id DESC LIMIT ?)", (KEPT_BOOTS,)
        )
