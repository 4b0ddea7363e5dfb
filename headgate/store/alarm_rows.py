"""The rows of `state.db` for alarms: what is raised since when, and what is still to be sent of an event."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS alarm_states(alarm TEXT, series TEXT, position INTEGER NOT NULL,
                                              state TEXT NOT NULL,
                                              PRIMARY KEY(alarm, series)) WITHOUT ROWID""",
    """CREATE TABLE IF NOT EXISTS alarm_pending(id INTEGER PRIMARY KEY AUTOINCREMENT, kind TEXT NOT NULL,
                                               due_ms INTEGER NOT NULL, text TEXT NOT NULL)""",
)


@dataclass(frozen=True, slots=True)
class PendingRow:
    """Work of one `kind` that an event left behind, due at a UTC time; `text` is its owner's."""

    id: int
    kind: str
    due_ms: int
    text: str


class AlarmRows:
    """The tables, made where they are missing; writes belong inside a transaction of the store."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        for table in _SCHEMA:
            db.execute(table)

    def states(self) -> dict[tuple[str, str], tuple[int, str]]:
        """By alarm and name of series: journal position and state, as they were put."""
        rows = self._db.execute("SELECT alarm, series, position, state FROM alarm_states")
        return {(alarm, series): (position, state) for alarm, series, position, state in rows}

    def put_states(self, changed: Mapping[tuple[str, str], tuple[int, str] | None]) -> None:
        """Store states; None: no more."""
        gone = [key for key, state in changed.items() if state is None]
        self._db.executemany("DELETE FROM alarm_states WHERE alarm = ? AND series = ?", gone)
        held = [(*key, *state) for key, state in changed.items() if state is not None]
        self._db.executemany(
            "INSERT OR REPLACE INTO alarm_states(alarm, series, position, state) VALUES(?, ?, ?, ?)", held
        )

    def pending(self) -> list[PendingRow]:
        """All that waits, oldest first."""
        return [
            PendingRow(*row)
            for row in self._db.execute("SELECT id, kind, due_ms, text FROM alarm_pending ORDER BY id")
        ]

    def add_pending(self, kind: str, due_ms: int, text: str) -> PendingRow:
        """Note work to be done."""
        cursor = self._db.execute(
            "INSERT INTO alarm_pending(kind, due_ms, text) VALUES(?, ?, ?)", (kind, due_ms, text)
        )
        return PendingRow(int(cursor.lastrowid or 0), kind, due_ms, text)

    def drop_pending(self, number: int) -> None:
        """It is done."""
        self._db.execute("DELETE FROM alarm_pending WHERE id = ?", (number,))
