"""The rows of `state.db` that make a request the same request: its content's digest and its reply."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

_SCHEMA = """CREATE TABLE IF NOT EXISTS requests(
    id TEXT PRIMARY KEY, digest TEXT NOT NULL, op TEXT NOT NULL, carrier TEXT NOT NULL,
    deadline_ms INTEGER NOT NULL, keep_until_ms INTEGER NOT NULL, reply BLOB) WITHOUT ROWID"""


@dataclass(frozen=True, slots=True)
class RequestRow:
    """One request. `reply` is its JSON, None from the time it was started until it was answered."""

    id: str
    digest: str
    op: str
    carrier: str
    deadline_ms: int
    keep_until_ms: int
    reply: bytes | None = None


class RequestRows:
    """The table, made where it is missing; writes belong inside a transaction of the store."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        db.execute(_SCHEMA)

    def get(self, request_id: str) -> RequestRow | None:
        """The request of that id."""
        row = self._db.execute(
            "SELECT id, digest, op, carrier, deadline_ms, keep_until_ms, reply FROM requests WHERE id = ?",
            (request_id,),
        ).fetchone()
        return None if row is None else RequestRow(*row)

    def started(self) -> list[RequestRow]:
        """Those that were started and not answered."""
        rows = self._db.execute(
            "SELECT id, digest, op, carrier, deadline_ms, keep_until_ms, reply FROM requests "
            "WHERE reply IS NULL ORDER BY id"
        )
        return [RequestRow(*row) for row in rows]

    def count(self) -> int:
        """How many there are."""
        return int(self._db.execute("SELECT count(*) FROM requests").fetchone()[0])

    def overdue(self, now_ms: int) -> bool:
        """Whether there are any to be forgotten."""
        found = self._db.execute("SELECT 1 FROM requests WHERE keep_until_ms < ? LIMIT 1", (now_ms,))
        return found.fetchone() is not None

    def put(self, row: RequestRow) -> None:
        """Store a request, over the one of the same id."""
        self._db.execute(
            "INSERT OR REPLACE INTO requests(id, digest, op, carrier, deadline_ms, keep_until_ms, reply) "
            "VALUES(?, ?, ?, ?, ?, ?, ?)",
            (row.id, row.digest, row.op, row.carrier, row.deadline_ms, row.keep_until_ms, row.reply),
        )

    def forget(self, now_ms: int) -> None:
        """Drop those that need not be kept any longer."""
        self._db.execute("DELETE FROM requests WHERE keep_until_ms < ?", (now_ms,))
