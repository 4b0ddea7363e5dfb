"""`state.db`: what the store knows beside the samples, changed in one durable transaction per commit.

Outbox, epochs per stream, runs of the bridges, ids of series, dictionaries, how far windows are closed, and
the journal positions up to which samples are in envelopes and blocks.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from headgate.errors import Reject
from headgate.model import Ack, Envelope, EnvelopeId, Series, series_row
from headgate.store.alarm_rows import AlarmRows
from headgate.store.boots import BootRows
from headgate.store.doubted import DoubtedRows
from headgate.store.requests import RequestRows
from headgate.store.shed_rows import ShedRows, grow_and_shrink
from headgate.store.sqlite import connect, migrate, pending_bytes, transaction

VERSION = 1
RUNS_KEPT = 4
"""Runs remembered per bridge: a bridge has one, messages of the one before may still be under way."""

OUTBOX = "id, stream, epoch, seq, schema, live, sealed_ms, samples, body"

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
                                 PRIMARY KEY(bridge, dictionary)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS told(id TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS days(day INTEGER PRIMARY KEY);
CREATE TABLE IF NOT EXISTS schemas(id BLOB PRIMARY KEY, rows TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS ledger(day INTEGER, way TEXT, kind TEXT, again INTEGER, basic_ingest INTEGER,
                                  messages INTEGER NOT NULL, bytes INTEGER NOT NULL, units INTEGER NOT NULL,
                                  PRIMARY KEY(day, way, kind, again, basic_ingest)) WITHOUT ROWID
"""
"""Came later, to files of the same version: a hub that does not know it does without."""

LedgerRow = tuple[int, str, str, int, int, int, int, int]
"""day, way, kind, again, basic_ingest, messages, bytes, units (headgate/uplink/ledger.py)."""


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


@dataclass(frozen=True, slots=True)
class OutboxPart:
    """Some of the outbox's rows: of these streams `only`, or of all `but` these; of them those with samples,
    or without; live ones, or others.
    """

    only: tuple[str, ...] = ()
    but: tuple[str, ...] = ()
    samples: bool | None = None
    live: bool | None = None

    def where(self) -> str:
        """The condition, with a `?` for each of `streams`."""
        streams = ", ".join("?" * len(self.streams))
        found = [f"stream {'IN' if self.only else 'NOT IN'} ({streams})"] if self.streams else []
        if self.samples is not None:
            found.append(f"samples {'>' if self.samples else '='} 0")
        if self.live is not None:
            found.append(f"live = {int(self.live)}")
        return " AND ".join(found) or "1"

    @property
    def streams(self) -> tuple[str, ...]:
        """What the condition names."""
        return self.only or self.but


EVERYTHING = OutboxPart()


class State:
    """The open file. Reads are answered at once; writes belong inside `transaction()`."""

    def __init__(self, path: Path, thing: str) -> None:
        self._thing = thing
        self._path = path
        self._db = connect(path, wal=True)
        migrate(self._db, path, VERSION, _SCHEMA)
        for statement in _ADDED.split(";"):
            self._db.execute(statement)
        if all(row[1] != "sum" for row in self._db.execute("PRAGMA table_info(outbox)")):
            self._db.execute("ALTER TABLE outbox ADD COLUMN sum INTEGER")
        grow_and_shrink(self._db)
        self.requests = RequestRows(self._db)
        self.alarms = AlarmRows(self._db)
        self.boots = BootRows(self._db)
        self.doubted = DoubtedRows(self._db)
        self.shed = ShedRows(self._db)

    def close(self) -> None:
        """Close the file; a transaction under way is rolled back."""
        self._db.close()

    def pending_bytes(self) -> int:
        """By how much the file grows once its write-ahead log is taken into it."""
        return pending_bytes(self._db, self._path)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of what is written inside, or nothing; durable when left."""
        with transaction(self._db):
            yield
            self._db.execute("INSERT OR REPLACE INTO meta VALUES('sum', ?)", (small_sum(self._db),))

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

    def ledger(self) -> list[LedgerRow]:
        """What messages amounted to, by day and kind."""
        return list(self._db.execute("SELECT * FROM ledger"))

    def note(self, name: str) -> int:
        """A number that was kept under this name; 0 where there is none."""
        row = self._db.execute("SELECT value FROM meta WHERE key = ?", (name,)).fetchone()
        return int(row[0]) if row else 0

    def schemas(self) -> dict[bytes, tuple[Series, ...]]:
        """Schemas of codec compact by their ids."""
        rows = self._db.execute("SELECT id, rows FROM schemas")
        return {key: table_from_rows(json.loads(text)) for key, text in rows}

    def put_schema(self, key: bytes, rows: Sequence[Series]) -> None:
        """Keep one; it never changes."""
        text = json.dumps([series_row(series) for series in rows])
        self._db.execute("INSERT OR IGNORE INTO schemas VALUES(?, ?)", (key, text))

    # The outbox.

    def waiting(self, stream: str) -> tuple[int, int]:
        """How many envelopes of a stream wait, and when the newest of them was sealed (UTC ms, or 0)."""
        found = self._db.execute("SELECT count(*), max(sealed_ms) FROM outbox WHERE stream = ?", (stream,))
        count, newest_ms = found.fetchone()
        return count, newest_ms or 0

    def outbox_size(self) -> tuple[int, int]:
        """How many envelopes wait, and their bytes."""
        count, size_bytes = self._db.execute("SELECT count(*), total(length(body)) FROM outbox").fetchone()
        return count, int(size_bytes)

    def queued(self, after_row: int, limit: int, part: OutboxPart = EVERYTHING) -> list[Queued]:
        """At most `limit` waiting envelopes of that part behind `after_row`, in the order of sealing."""
        where = f"id > ? AND {part.where()} ORDER BY id LIMIT ?"
        if part.only:
            # Found by their stream (`+id` keeps the rows' order from being scanned): few among very many.
            inner = where.replace("id >", "+id >").replace("BY id", "BY +id")
            where = f"id IN (SELECT id FROM outbox WHERE {inner}) ORDER BY id"
        rows = self._db.execute(
            f"SELECT {OUTBOX}, sum FROM outbox WHERE {where}", (after_row, *part.streams, limit)
        ).fetchall()
        for row in rows:
            if row[-1] not in (None, outbox_sum(row[1:-1])):
                raise sqlite3.DatabaseError(f"row {row[0]} of the outbox is damaged")
        return [
            Queued(
                row,
                sealed_ms,
                Envelope(
                    EnvelopeId(self._thing, stream, int(epoch, 16), seq), schema, body, samples, bool(is_live)
                ),
            )
            for row, stream, epoch, seq, schema, is_live, sealed_ms, samples, body, _ in rows
        ]

    def insert(self, envelope: Envelope, sealed_ms: int) -> int:
        """Queue a sealed envelope; returns its row."""
        key = envelope.id
        row = (
            key.stream,
            f"{key.epoch:016x}",
            key.seq,
            envelope.schema,
            int(envelope.live),
            sealed_ms,
            envelope.samples,
            envelope.body,
        )
        cursor = self._db.execute(
            "INSERT INTO outbox(stream, epoch, seq, schema, live, sealed_ms, samples, body, sum) "
            "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*row, outbox_sum(row)),
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

    def numbers(self) -> dict[str, int]:
        """The numbers kept for others under names of theirs."""
        return dict(self._db.execute("SELECT key, value FROM meta"))

    def put_numbers(self, numbers: Mapping[str, int]) -> None:
        """Store numbers under names that no position has."""
        self._db.executemany("INSERT OR REPLACE INTO meta(key, value) VALUES(?, ?)", numbers.items())

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
        if rows:
            self._db.execute("INSERT OR REPLACE INTO meta VALUES('series_sum', ?)", (series_sum(self._db),))

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

    def put_ledger(self, rows: Sequence[LedgerRow], before_day: int) -> None:
        """Store lines of the ledger, and drop those of older days."""
        self._db.executemany("INSERT OR REPLACE INTO ledger VALUES(?, ?, ?, ?, ?, ?, ?, ?)", rows)
        self._db.execute("DELETE FROM ledger WHERE day < ?", (before_day,))

    def told(self) -> set[str]:
        """Which notes of files set aside are in envelopes."""
        return {row[0] for row in self._db.execute("SELECT id FROM told")}

    def put_told(self, keys: Iterable[str]) -> None:
        """These are, too."""
        self._db.executemany("INSERT OR IGNORE INTO told VALUES(?)", [(key,) for key in keys])

    def days(self) -> set[int]:
        """The days of which there was a file."""
        return {row[0] for row in self._db.execute("SELECT day FROM days")}

    def put_days(self, days: Iterable[int]) -> None:
        """The days of which there is a file, and no others."""
        self._db.execute("DELETE FROM days")
        self._db.executemany("INSERT INTO days VALUES(?)", [(day,) for day in days])

    def put_windows_closed(self, closed: Mapping[tuple[str, int], int]) -> None:
        """Store until when windows are closed."""
        rows = [(bridge, length_ms, until) for (bridge, length_ms), until in closed.items()]
        self._db.executemany(
            "INSERT OR REPLACE INTO windows(bridge, length_ms, closed_until) VALUES(?, ?, ?)", rows
        )


def small_sum(db: sqlite3.Connection) -> int:
    """Of the small tables, whose rows have no sums of their own."""
    total = 0
    for table in ("meta", "runs", "streams", "windows"):
        for row in db.execute(f"SELECT * FROM {table} ORDER BY 1, 2"):
            if row[0] != "sum" or table != "meta":
                total = zlib.crc32(repr(row).encode(), total)
    return total


def series_sum(db: sqlite3.Connection) -> int:
    """Of the ids of series."""
    total = 0
    for row in db.execute("SELECT id, name, revision, unit, kind, decimals FROM series ORDER BY id"):
        total = zlib.crc32(repr(row).encode(), total)
    return total


def outbox_sum(row: Sequence[object]) -> int:
    """Of an envelope and its row."""
    *fields, body = row
    return zlib.crc32(body if isinstance(body, bytes) else b"?", zlib.crc32(repr(fields).encode()))


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
