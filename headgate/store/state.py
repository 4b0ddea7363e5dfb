"""`state.db`: what the store knows beside the samples, changed in one durable transaction per commit.

Outbox, epochs per stream, runs of the bridges, ids of series, dictionaries, how far windows are closed, and
the journal positions up to which samples are in envelopes and blocks.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from headgate.errors import Reject
from headgate.model import Ack, Envelope, EnvelopeId, Series, series_row
from headgate.store.requests import RequestRows
from headgate.store.sqlite import connect, migrate, transaction

VERSION = 1
RUNS_KEPT = 4
"""Runs remembered per bridge: a bridge has one, messages of the one before may still be under way."""

MAX_UNIT_LENGTH = 64
"""Characters of a unit: every envelope repeats it for each of its columns."""

_SCHEMA = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE runs(bridge TEXT, run_id TEXT, up_to INTEGER NOT NULL, touched INTEGER NOT NULL,
                  PRIMARY KEY(bridge, run_id)) WITHOUT ROWID;
CREATE TABLE streams(stream TEXT PRIMARY KEY, epoch TEXT NOT NULL, seq INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE outbox(id INTEGER PRIMARY KEY AUTOINCREMENT, stream TEXT NOT NULL, epoch TEXT NOT NULL,
                    seq INTEGER NOT NULL, schema INTEGER NOT NULL, live INTEGER NOT NULL,
                    sealed_ms INTEGER NOT NULL, samples INTEGER NOT NULL, body BLOB NOT NULL,
                    UNIQUE(stream, epoch, seq));
CREATE TABLE series(id INTEGER PRIMARY KEY, name TEXT NOT NULL, revision INTEGER NOT NULL, unit TEXT NOT NULL,
                    kind TEXT NOT NULL, decimals INTEGER);
CREATE TABLE dictionaries(hash BLOB PRIMARY KEY, rows TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE windows(bridge TEXT, length_ms INTEGER, closed_until INTEGER NOT NULL,
                     PRIMARY KEY(bridge, length_ms)) WITHOUT ROWID
"""

_ADDED = """
CREATE TABLE IF NOT EXISTS fresh(bridge TEXT, dictionary BLOB, looks BLOB NOT NULL,
                                 PRIMARY KEY(bridge, dictionary)) WITHOUT ROWID
"""
"""Came later, to files of the same version: a hub that does not know it does without."""

_SCHEMAS = "CREATE TABLE IF NOT EXISTS schemas(id BLOB PRIMARY KEY, rows TEXT NOT NULL) WITHOUT ROWID"
"""Came later too. Schemas of codec compact that were put into the outbox."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Journal positions: everything before `packed` is in envelopes, before `blocks` in blocks; nothing
    before `replay` is needed again. `window_length_ms` is what the windows under way were opened with.
    """

    packed: int = 0
    blocks: int = 0
    replay: int = 0
    window_length_ms: int = 0


@dataclass(frozen=True, slots=True)
class Queued:
    """One envelope of the outbox; `row` grows in the order of sealing."""

    row: int
    sealed_ms: int
    envelope: Envelope


class State:
    """The open file. Reads are answered at once; writes belong inside `transaction()`."""

    def __init__(self, path: Path, thing: str) -> None:
        self._thing = thing
        self._db = connect(path, wal=True)
        migrate(self._db, path, VERSION, _SCHEMA)
        self._db.execute(_ADDED)
        self._db.execute(_SCHEMAS)
        self.requests = RequestRows(self._db)

    def close(self) -> None:
        """Close the file; a transaction under way is rolled back."""
        self._db.close()

    def transaction(self) -> AbstractContextManager[None]:
        """All of what is written inside, or nothing; durable when left."""
        return transaction(self._db)

    # What was there at start.

    def progress(self) -> Progress:
        """Zeros in a new file."""
        found = dict(self._db.execute("SELECT key, value FROM meta"))
        names = Progress.__dataclass_fields__
        return Progress(**{key: value for key, value in found.items() if key in names})

    def runs(self) -> dict[tuple[str, int], int]:
        """Up to which seq each (bridge, run_id) was taken."""
        rows = self._db.execute("SELECT bridge, run_id, up_to FROM runs ORDER BY touched")
        return {(bridge, int(run_id, 16)): up_to for bridge, run_id, up_to in rows}

    def stream_ends(self) -> dict[str, tuple[int, int]]:
        """The newest (epoch, seq) of each stream."""
        rows = self._db.execute("SELECT stream, epoch, seq FROM streams")
        return {stream: (int(epoch, 16), seq) for stream, epoch, seq in rows}

    def series_ids(self) -> dict[Series, int]:
        """Every series there ever was."""
        rows = self._db.execute("SELECT name, unit, kind, decimals, revision, id FROM series")
        return {Series(*row[:5]): row[5] for row in rows}

    def dictionaries(self) -> dict[bytes, tuple[Series, ...]]:
        """Series tables by content hash."""
        rows = self._db.execute("SELECT hash, rows FROM dictionaries")
        return {key: table_from_rows(json.loads(text)) for key, text in rows}

    def windows_closed(self) -> dict[tuple[str, int], int]:
        """Until when (UTC ms) the windows of each (bridge, length_ms) are closed."""
        rows = self._db.execute("SELECT bridge, length_ms, closed_until FROM windows")
        return {(bridge, length_ms): until for bridge, length_ms, until in rows}

    def fresh(self) -> dict[tuple[str, bytes], bytes]:
        """By bridge and table, a byte for each series: 1 where its last sample was not bad."""
        rows = self._db.execute("SELECT bridge, dictionary, looks FROM fresh")
        return {(bridge, key): zlib.decompress(looks) for bridge, key, looks in rows}

    def schemas(self) -> dict[bytes, tuple[Series, ...]]:
        """Schemas of codec compact by their ids."""
        rows = self._db.execute("SELECT id, rows FROM schemas")
        return {key: table_from_rows(json.loads(text)) for key, text in rows}

    def put_schema(self, key: bytes, rows: Sequence[Series]) -> None:
        """Keep one; it never changes."""
        text = json.dumps([series_row(series) for series in rows])
        self._db.execute("INSERT OR IGNORE INTO schemas VALUES(?, ?)", (key, text))

    # The outbox.

    def outbox_size(self) -> tuple[int, int]:
        """How many envelopes wait, and their bytes."""
        count, size_bytes = self._db.execute("SELECT count(*), total(length(body)) FROM outbox").fetchone()
        return count, int(size_bytes)

    def queued(self, after_row: int, limit: int, *, live: bool | None = None) -> list[Queued]:
        """At most `limit` waiting envelopes behind `after_row`, in the order of sealing."""
        only = "" if live is None else f"AND live = {int(live)}"
        rows = self._db.execute(
            "SELECT id, stream, epoch, seq, schema, live, sealed_ms, samples, body FROM outbox "
            f"WHERE id > ? {only} ORDER BY id LIMIT ?",
            (after_row, limit),
        )
        return [
            Queued(
                row,
                sealed_ms,
                Envelope(
                    EnvelopeId(self._thing, stream, int(epoch, 16), seq), schema, body, samples, bool(is_live)
                ),
            )
            for row, stream, epoch, seq, schema, is_live, sealed_ms, samples, body in rows
        ]

    def insert(self, envelope: Envelope, sealed_ms: int) -> int:
        """Queue a sealed envelope; returns its row."""
        key = envelope.id
        cursor = self._db.execute(
            "INSERT INTO outbox(stream, epoch, seq, schema, live, sealed_ms, samples, body) "
            "VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
            (
                key.stream,
                f"{key.epoch:016x}",
                key.seq,
                envelope.schema,
                envelope.live,
                sealed_ms,
                envelope.samples,
                envelope.body,
            ),
        )
        return int(cursor.lastrowid or 0)

    def delete_acknowledged(self, ack: Ack) -> tuple[int, int]:
        """Remove what the cloud holds; returns how many envelopes, and their bytes."""
        count, size_bytes = 0, 0
        for first, last in [(0, ack.up_to), *ack.received]:
            where = "FROM outbox WHERE stream = ? AND epoch = ? AND seq BETWEEN ? AND ?"
            key = (ack.stream, f"{ack.epoch:016x}", first, last)
            found = self._db.execute(f"SELECT count(*), total(length(body)) {where}", key).fetchone()
            if found[0]:
                self._db.execute(f"DELETE {where}", key)
                count, size_bytes = count + found[0], size_bytes + int(found[1])
        return count, size_bytes

    # The rest.

    def put_progress(self, progress: Progress) -> None:
        """Store the positions."""
        rows = [(name, getattr(progress, name)) for name in Progress.__dataclass_fields__]
        self._db.executemany("INSERT OR REPLACE INTO meta(key, value) VALUES(?, ?)", rows)

    def put_runs(self, runs: Mapping[tuple[str, int], int], touched: int) -> None:
        """Store how far runs were taken; only the newest RUNS_KEPT of a bridge stay."""
        rows = [(bridge, f"{run_id:016x}", up_to, touched) for (bridge, run_id), up_to in runs.items()]
        self._db.executemany(
            "INSERT OR REPLACE INTO runs(bridge, run_id, up_to, touched) VALUES(?, ?, ?, ?)", rows
        )
        for bridge in {bridge for bridge, _ in runs}:
            self._db.execute(
                "DELETE FROM runs WHERE bridge = ? AND run_id NOT IN "
                "(SELECT run_id FROM runs WHERE bridge = ? ORDER BY touched DESC, run_id LIMIT ?)",
                (bridge, bridge, RUNS_KEPT),
            )

    def put_stream_end(self, stream: str, epoch: int, seq: int) -> None:
        """Store a stream's newest envelope."""
        self._db.execute(
            "INSERT OR REPLACE INTO streams(stream, epoch, seq) VALUES(?, ?, ?)",
            (stream, f"{epoch:016x}", seq),
        )

    def put_series(self, series: Iterable[tuple[Series, int]]) -> None:
        """Store new ids."""
        rows = [(number, s.name, s.revision, s.unit, s.kind, s.decimals) for s, number in series]
        self._db.executemany(
            "INSERT INTO series(id, name, revision, unit, kind, decimals) VALUES(?, ?, ?, ?, ?, ?)", rows
        )

    def put_dictionary(self, key: bytes, table: Sequence[Series]) -> None:
        """Store a series table under its content hash."""
        self._db.execute(
            "INSERT OR IGNORE INTO dictionaries(hash, rows) VALUES(?, ?)", (key, table_text(table))
        )

    def put_fresh(self, changed: Mapping[tuple[str, bytes], bytes | None]) -> None:
        """Store which series look fresh; None: none of that bridge and table."""
        for key, looks in changed.items():
            self._db.execute("DELETE FROM fresh WHERE bridge = ? AND dictionary = ?", key)
            if looks is not None:
                row = (*key, zlib.compress(looks, 1))
                self._db.execute("INSERT INTO fresh(bridge, dictionary, looks) VALUES(?, ?, ?)", row)

    def put_windows_closed(self, closed: Mapping[tuple[str, int], int]) -> None:
        """Store until when windows are closed."""
        rows = [(bridge, length_ms, until) for (bridge, length_ms), until in closed.items()]
        self._db.executemany(
            "INSERT OR REPLACE INTO windows(bridge, length_ms, closed_until) VALUES(?, ?, ?)", rows
        )


def table_text(table: Sequence[Series]) -> str:
    """A series table as the text that state.db and the journal hold."""
    return json.dumps([series_row(series) for series in table], separators=(",", ":"))


def table_from_rows(rows: object) -> tuple[Series, ...]:
    """A series table from rows [name, unit, kind, decimals, revision]. Raises Reject for any other form."""
    if not isinstance(rows, list):
        raise Reject("a dictionary is a list of [name, unit, kind, decimals, revision]")
    table = []
    for i, row in enumerate(rows):
        match row:
            case [str(name), str(unit), str(kind), int() | None as decimals, int(revision)]:
                if len(unit) > MAX_UNIT_LENGTH:
                    raise Reject(f"dictionary row {i}: a unit of more than {MAX_UNIT_LENGTH} characters")
                table.append(Series(name, unit, kind, decimals, revision))  # type: ignore[arg-type]  # Series checks
            case _:
                raise Reject(f"dictionary row {i} is {row!r}, not [name, unit, kind, decimals, revision]")
    return tuple(table)
