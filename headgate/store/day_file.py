"""One day file `blocks/YYYYMMDD.db` (docs/store.md, "Day file"): its tables, reading it beside its writer."""

from __future__ import annotations

import datetime
import sqlite3
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headgate.errors import Reject
from headgate.model import Series
from headgate.store import pack
from headgate.store.arrays import Line
from headgate.store.sqlite import NEXT_VERSIONS

VERSION = 2
DAY_MS = 86_400_000
_EPOCH = datetime.date(1970, 1, 1)
_NAMES_AT_ONCE = 500
"""Of a statement's parameters; SQLite takes 999 at least."""

_INDEX = "CREATE INDEX blocks_by_time ON blocks(shape, first_ms, last_ms, samples, through)"
SCHEMA = f"""
CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE series(id INTEGER PRIMARY KEY, name TEXT NOT NULL, revision INTEGER NOT NULL, unit TEXT NOT NULL,
                    kind TEXT NOT NULL, decimals INTEGER, sum INTEGER);
CREATE TABLE shapes(id INTEGER PRIMARY KEY, series BLOB NOT NULL UNIQUE, sum INTEGER);
CREATE TABLE blocks(id INTEGER PRIMARY KEY, shape INTEGER NOT NULL, first_ms INTEGER NOT NULL,
                    last_ms INTEGER NOT NULL, samples INTEGER NOT NULL, through INTEGER NOT NULL DEFAULT 0,
                    data BLOB NOT NULL, sum INTEGER);
CREATE INDEX series_by_name ON series(name);
{_INDEX}
"""
STEPS = {
    1: f"""
CREATE TABLE blocks2(id INTEGER PRIMARY KEY, shape INTEGER NOT NULL, first_ms INTEGER NOT NULL,
                     last_ms INTEGER NOT NULL, samples INTEGER NOT NULL, through INTEGER NOT NULL DEFAULT 0,
                     data BLOB NOT NULL);
INSERT INTO blocks2(id, shape, first_ms, last_ms, samples, data)
    SELECT id, shape, first_ms, last_ms, samples, data FROM blocks;
DROP TABLE blocks;
ALTER TABLE blocks2 RENAME TO blocks;
CREATE INDEX series_by_name ON series(name);
{_INDEX}
"""
}
"""From version 1, whose blocks had no `through`."""
SUMMED = ("series", "shapes", "blocks")
"""Tables with a column `sum`, which files may lack that were made before there was one: `add_sums`."""
_HEAD_BYTES = 14
"""Of a block: its own checksum is among them."""


class Newer(Reject):
    """A file of a version that is not known yet, and no damage."""


@dataclass(frozen=True, slots=True)
class Found:
    """A block that may hold samples that are asked for: its id, when, and how many at most."""

    key: int
    first_ms: int
    last_ms: int
    samples: int


class DayReader:
    """One day file, open for reading; commits of its writer do not hold it up.

    One without tables is being made, or was when the hub ended: nothing is in it yet.
    """

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db = db
        self._path = path
        self.version: int = db.execute("PRAGMA user_version").fetchone()[0]
        self._made = bool(self.version) or db.execute("SELECT 1 FROM sqlite_master").fetchone() is not None
        if self._made and not 1 <= self.version <= VERSION:
            kind = Newer if VERSION < self.version <= VERSION + NEXT_VERSIONS else Reject
            raise kind(f"{path} is of version {self.version}, this hub reads 1 to {VERSION}")
        self._through = "through" if self.version > 1 else "0"
        self._sum = "sum" if self._made and has_sums(db) else "NULL"
        self._wanted: dict[int, tuple[int, Mapping[int, Series]]] = {}

    def series(self, names: Collection[str] | None = None) -> dict[int, Series]:
        """The series of these names, or all, by id."""
        if not self._made:
            return {}
        select = f"SELECT {self._sum}, id, name, unit, kind, decimals, revision FROM series"
        if names is None:
            return self._checked(self._db.execute(select))
        found: dict[int, Series] = {}
        wanted = sorted(names)
        for start in range(0, len(wanted), _NAMES_AT_ONCE):
            part = wanted[start : start + _NAMES_AT_ONCE]
            marks = ",".join("?" * len(part))
            rows = self._db.execute(f"{select} WHERE name IN ({marks})", part)
            found |= self._checked(rows)
        return found

    def _checked(self, rows: Iterable[tuple[object, ...]]) -> dict[int, Series]:
        found: dict[int, Series] = {}
        for total, number, *fields in rows:
            if total not in (None, row_sum(number, *fields)) or not isinstance(number, int):
                raise Reject(f"{self._path}: row {number} of series is damaged")
            try:
                found[number] = Series(*fields)  # type: ignore[arg-type]  # Series checks
            except (TypeError, ValueError) as error:
                raise Reject(f"{self._path}: row {number} of series is damaged: {error}") from error
        return found

    def shapes(self, series: Mapping[int, Series]) -> dict[int, tuple[int, dict[int, Series]]]:
        """By shape that has any of the series: how wide it is, and what stands at which place of it."""
        found: dict[int, tuple[int, dict[int, Series]]] = {}
        if not series:
            return found
        ids = np.array(sorted(series), np.int64)
        for shape, key, total in self._db.execute(f"SELECT id, series, {self._sum} FROM shapes"):
            if total not in (None, row_sum(shape, key)):
                raise Reject(f"{self._path}: row {shape} of shapes is damaged")
            members = np.frombuffer(key, "<u4").astype(np.int64)
            places = np.flatnonzero(np.isin(members, ids)).tolist()
            if places:
                found[shape] = (len(members), {place: series[int(members[place])] for place in places})
        return found

    def find(self, names: Collection[str], from_ms: int, to_ms: int, sealed: int) -> Iterator[Found]:
        """The blocks, whole before the journal position `sealed`, with samples in from_ms <= t < to_ms."""
        for shape, (width, wanted) in self.shapes(self.series(names)).items():
            self._wanted[shape] = (width, wanted)
            rows = self._db.execute(
                f"SELECT id, first_ms, last_ms, samples, {self._through} FROM blocks "
                "WHERE shape = ? AND first_ms < ? AND last_ms >= ? ORDER BY id",
                (shape, to_ms, from_ms),
            )
            for key, first_ms, last_ms, samples, through in rows.fetchall():
                if through <= sealed:
                    yield Found(key, first_ms, last_ms, samples * len(wanted) // width)

    def find_newest(self, names: Collection[str], sealed: int) -> list[Found]:
        """The block of each shape that holds the newest sample of all its series, in the order of sealing."""
        found = []
        for shape, (width, wanted) in self.shapes(self.series(names)).items():
            self._wanted[shape] = (width, wanted)
            row = self._db.execute(
                f"SELECT id, first_ms, last_ms, samples FROM blocks WHERE shape = ? AND {self._through} <= ? "
                "ORDER BY last_ms DESC, id DESC LIMIT 1",
                (shape, sealed),
            ).fetchone()
            if row is not None:
                found.append(Found(*row))
        return sorted(found, key=lambda one: one.key)

    def lines(self, key: int) -> list[Line]:
        """What was asked for out of one block that `find` found. Raises Reject where it is damaged."""
        row = self._db.execute(
            f"SELECT shape, data, first_ms, last_ms, samples, {self._through}, {self._sum} "
            "FROM blocks WHERE id = ?",
            (key,),
        ).fetchone()
        if row is None:
            raise Reject(f"{self._path}: block {key} is gone")
        shape, data, first_ms, last_ms, samples, through, total = row
        right = total in (None, block_sum(shape, first_ms, last_ms, samples, through, data))
        if not right or shape not in self._wanted:
            raise Reject(f"{self._path}: row {key} of blocks is damaged")
        width, wanted = self._wanted[shape]
        try:
            return pack.decode(data, width, wanted)
        except Reject as error:
            raise Reject(f"{self._path}: block {key}: {error}") from error

    def blocks(self) -> Sequence[tuple[int, int, int]]:
        """(id, shape, bytes) of every block, in the order of sealing."""
        if not self._made:
            return []
        return self._db.execute("SELECT id, shape, length(data) FROM blocks ORDER BY id").fetchall()

    def by_shape(self) -> Iterator[tuple[list[int], int, int, int]]:
        """(ids of the series, samples of all of them, first and last UTC ms) of each shape with blocks."""
        if self._made:
            rows = self._db.execute(
                "SELECT shapes.series, sum(samples), min(first_ms), max(last_ms) FROM blocks "
                "JOIN shapes ON shapes.id = blocks.shape GROUP BY shape ORDER BY shape"
            )
            for key, samples, first_ms, last_ms in rows:
                yield np.frombuffer(key, "<u4").tolist(), samples, first_ms, last_ms

    def totals(self) -> tuple[int, int, int | None, int | None]:
        """Blocks, samples, first and last UTC ms."""
        if not self._made:
            return 0, 0, None, None
        found: tuple[int, int, int | None, int | None] = self._db.execute(
            "SELECT count(*), coalesce(sum(samples), 0), min(first_ms), max(last_ms) FROM blocks"
        ).fetchone()
        return found

    def through(self) -> int:
        """The journal position before which the file holds everything of its day."""
        if not self._made:
            return 0
        row = self._db.execute("SELECT value FROM meta WHERE key = 'through'").fetchone()
        return int(row[0]) if row else 0

    def verify(self, key: int, shape: int) -> None:
        """Read a block as far as its checksums and times tell that it is right; `want` all series before.

        Raises Reject where it is not.
        """
        row = self._db.execute(
            f"SELECT shape, first_ms, last_ms, samples, {self._through}, data, {self._sum} "
            "FROM blocks WHERE id = ?",
            (key,),
        ).fetchone()
        if row is None or row[0] != shape or shape not in self._wanted:
            raise Reject(f"row {key} of blocks is damaged")
        width, wanted = self._wanted[shape]
        verify_block(row, width, wanted)

    def want(self, series: Mapping[int, Series]) -> None:
        """Have `lines` give these series of any block."""
        self._wanted = dict(self.shapes(series))

    def check(self) -> list[str]:
        """What SQLite finds wrong with the file."""
        found = [row[0] for row in self._db.execute("PRAGMA integrity_check(10)")]
        return [] if found == ["ok"] else found


@contextmanager
def open_day(path: Path) -> Iterator[DayReader]:
    """A day file to read from. Raises Reject, naming it, where SQLite cannot."""
    db: sqlite3.Connection | None = None
    try:
        db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False)
        yield DayReader(db, path)
    except (sqlite3.Error, TypeError, ValueError) as error:  # rows of a damaged file have any types
        raise Reject(f"{path}: {error}") from error
    finally:
        if db is not None:
            db.close()


@contextmanager
def open_day_if_there(path: Path) -> Iterator[DayReader | None]:
    """As `open_day`; None where retention removes, or has removed, the file."""
    with ExitStack() as opened:
        reader: DayReader | None = None
        try:
            reader = opened.enter_context(open_day(path))
        except Reject:
            if path.exists():
                raise
        yield reader


def has_sums(db: sqlite3.Connection) -> bool:
    """Whether the tables have the column `sum`."""
    columns = [[row[1] for row in db.execute(f"PRAGMA table_info({table})")] for table in SUMMED]
    return all("sum" in names for names in columns)


def add_sums(db: sqlite3.Connection) -> None:
    """Give a file the columns; its rows stay without."""
    for table in SUMMED:
        if all(row[1] != "sum" for row in db.execute(f"PRAGMA table_info({table})")):
            db.execute(f"ALTER TABLE {table} ADD COLUMN sum INTEGER")


def row_sum(*fields: object) -> int:
    """CRC-32 of a row's fields, as Python's `repr` of the tuple writes them."""
    return zlib.crc32(repr(fields).encode())


def block_sum(
    shape: object, first_ms: object, last_ms: object, samples: object, through: object, data: bytes
) -> int:
    """Of a row of `blocks`, and of which block belongs to it."""
    return row_sum(shape, first_ms, last_ms, samples, through, data[:_HEAD_BYTES])


BlockRow = tuple[int, int, int, int, int, bytes, int | None]
"""shape, first_ms, last_ms, samples, through, data, sum."""


def verify_block(row: BlockRow, width: int, series: Mapping[int, Series]) -> None:
    """Raises Reject where a block and its row do not belong together, or are damaged."""
    shape, first_ms, last_ms, samples, through, data, total = row
    if total not in (None, block_sum(shape, first_ms, last_ms, samples, through, data)):
        raise Reject("a row of blocks is damaged")
    place = min(series, default=None)
    if place is None:
        raise Reject("a block of no known series")
    times = pack.decode(data, width, {place: series[place]})[0].times_ms
    if (int(times.min()), int(times.max()), len(times) * width) != (first_ms, last_ms, samples):
        raise Reject("a block's times are not those of its row")


def day_path(folder: Path, day: int) -> Path:
    """Where the file of a day (since 1970) is."""
    return folder / f"{_EPOCH + datetime.timedelta(days=day):%Y%m%d}.db"


def days_in(folder: Path) -> list[int]:
    """The days (since 1970) that have a file, ascending."""
    found = []
    for path in folder.glob("????????.db"):
        try:
            date = datetime.datetime.strptime(path.stem, "%Y%m%d").replace(tzinfo=datetime.UTC).date()
        except ValueError:
            continue
        found.append((date - _EPOCH).days)
    return sorted(found)
