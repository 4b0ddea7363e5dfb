"""What is kept of a day whose raw samples are gone: `windows/YYYYMMDD-N.db` (docs/store.md, "Windows file").

It is written once, under another name, and never changed: a day that was shed twice has two files.
"""

from __future__ import annotations

import os
import re
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headgate.errors import Reject
from headgate.model import Kind, Series
from headgate.store import pack
from headgate.store.arrays import DTYPES, Flags, Line, Shape, Stretch, Values, line_of
from headgate.store.day_file import day_path, days_in
from headgate.store.downsample import Bucket

VERSION = 1
_NAME = re.compile(r"(\d{8})-(\d+)\.db")
_SCHEMA = """
CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE windows(id INTEGER PRIMARY KEY, name TEXT NOT NULL, revision INTEGER NOT NULL,
                     unit TEXT NOT NULL, kind TEXT NOT NULL, decimals INTEGER, samples INTEGER NOT NULL,
                     first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL, data BLOB NOT NULL);
CREATE INDEX windows_by_name ON windows(name)
"""
MEAN_DECIMALS = 3
"""A mean has so many more decimals than its series; else eight bytes of it would be noise."""
_MAX_DECIMALS = 15


@dataclass(frozen=True, slots=True)
class Gone:
    """Samples (those without a value too) of one series that stand for what was shed, and their times."""

    series: Series
    samples: int
    first_ms: int
    last_ms: int


class WindowsWriter:
    """A file in the making. A crash leaves it without its name, to be removed at the next start."""

    def __init__(self, path: Path, step_ms: int) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        self.path = path
        self.step_ms = step_ms
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        self._db.execute("PRAGMA journal_mode=OFF")
        self._db.execute("PRAGMA synchronous=OFF")
        for statement in _SCHEMA.split(";"):
            self._db.execute(statement)
        self._db.execute(f"PRAGMA user_version={VERSION}")
        self._db.execute("INSERT INTO meta VALUES('step_ms', ?)", (step_ms,))

    def add(self, gone: Gone, buckets: Sequence[Bucket]) -> None:
        """All of one series; no buckets where none of the samples has a value."""
        series, data = gone.series, _packed(gone.series, buckets) if buckets else b""
        about = (series.name, series.revision, series.unit, series.kind, series.decimals)
        self._db.execute(
            "INSERT INTO windows(name, revision, unit, kind, decimals, samples, first_ms, last_ms, data) "
            "VALUES(?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (*about, gone.samples, gone.first_ms, gone.last_ms, data),
        )

    def finish(self, through: int) -> None:
        """On the disk when it returns. `through`: the raw blocks up to this journal position are in it."""
        self._db.execute("INSERT INTO meta VALUES('through', ?)", (through,))
        self._db.close()
        descriptor = os.open(self.path, os.O_RDWR)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def abandon(self) -> None:
        """It is not wanted any more."""
        self._db.close()
        self.path.unlink(missing_ok=True)


class WindowsReader:
    """A finished file, open for reading."""

    def __init__(self, db: sqlite3.Connection, path: Path) -> None:
        self._db = db
        self._path = path
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version != VERSION:
            raise Reject(f"{path} is of version {version}, this hub reads {VERSION}")
        meta = dict(db.execute("SELECT key, value FROM meta"))
        self.step_ms: int = meta.get("step_ms", 0)
        self.through: int = meta.get("through", 0)

    def gone(self) -> list[Gone]:
        """What it stands for, by series."""
        rows = self._db.execute(
            "SELECT name, unit, kind, decimals, revision, samples, first_ms, last_ms FROM windows ORDER BY id"
        )
        return [Gone(Series(*row[:5]), *row[5:]) for row in rows]

    def buckets(self, names: Collection[str] | None = None) -> Iterator[tuple[Series, list[Bucket]]]:
        """The buckets of these series, or of all, by time. Raises Reject for damage."""
        rows = self._db.execute("SELECT name, unit, kind, decimals, revision, data FROM windows ORDER BY id")
        for *about, data in rows:
            if data and (names is None or about[0] in names):
                series = Series(*about)
                try:
                    yield series, _unpacked(series, data)
                except Reject as error:
                    raise Reject(f"{self._path}: windows of {series.name}: {error}") from error


@contextmanager
def open_windows(path: Path) -> Iterator[WindowsReader]:
    """A windows file to read from. Raises Reject, naming it, where SQLite cannot."""
    try:
        with closing(
            sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False)
        ) as db:
            yield WindowsReader(db, path)
    except sqlite3.Error as error:
        raise Reject(f"{path}: {error}") from error


def files_in(folder: Path) -> dict[int, list[Path]]:
    """The files of each day (since 1970), ascending, the oldest shed first."""
    found: dict[int, list[tuple[int, Path]]] = {}
    stems: dict[str, int] = {}
    for path in folder.glob("????????-*.db"):
        match = _NAME.fullmatch(path.name)
        if match is not None:
            day = stems.setdefault(match[1], day_of(match[1]))
            if day >= 0:
                found.setdefault(day, []).append((int(match[2]), path))
    return {day: [path for _, path in sorted(found[day])] for day in sorted(found)}


def day_of(stem: str) -> int:
    """The day (since 1970) of YYYYMMDD; -1 where there is no such day."""
    try:
        stamp = np.datetime64(f"{stem[:4]}-{stem[4:6]}-{stem[6:]}", "D")
    except ValueError:
        return -1
    return int(stamp.astype(np.int64))


def next_path(folder: Path, day: int) -> Path:
    """Under which name the next file of a day goes."""
    taken = files_in(folder).get(day, [])
    number = 1 + max((int(path.stem.partition("-")[2]) for path in taken), default=0)
    return folder / f"{day_path(folder, day).stem}-{number}.db"


def standing(blocks: Path, windows: Path) -> dict[int, list[Path]]:
    """As `files_in`, without those whose raw samples are still (or again) there: between the commit that
    sheds a day and the removal of its file both exist, and the raw ones count.
    """
    found = files_in(windows)
    for day in found.keys() & set(days_in(blocks)):
        oldest = oldest_through(day_path(blocks, day))
        if oldest is not None:
            found[day] = [path for path in found[day] if _through(path) < oldest]
    return {day: paths for day, paths in found.items() if paths}


def oldest_through(path: Path) -> int | None:
    """With which journal position the oldest block of a day file came; None where there is none."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
            row = db.execute("SELECT min(through) FROM blocks").fetchone()
    except sqlite3.Error:  # of version 1, being made, or damaged: whoever reads it says so
        return None
    return None if row is None or row[0] is None else int(row[0])


def newest_through(folder: Path) -> int:
    """The journal position up to which some file stands for everything; damaged ones do not count."""
    found = 0
    for paths in files_in(folder).values():
        for path in paths:
            with suppress(Reject):
                found = max(found, _through(path))
    return found


def _through(path: Path) -> int:
    with open_windows(path) as reader:
        return reader.through


def _kinds(series: Series) -> tuple[Series, ...]:
    """The columns of a series' block as series of their own."""
    kind: Kind = series.kind
    bound: Kind = "i64" if kind == "bool" else kind
    own = series.decimals
    of_mean = None if own is None or own + MEAN_DECIMALS > _MAX_DECIMALS else own + MEAN_DECIMALS
    return (
        Series("w/count", "", "i64"),
        Series("w/low", "", bound, own),
        Series("w/high", "", bound, own),
        Series("w/mean", "", "f64", of_mean),
        Series("w/first", "", kind, own),
        Series("w/last", "", kind, own),
    )


def _packed(series: Series, buckets: Sequence[Bucket]) -> bytes:
    shape = Shape(_kinds(series))
    times = np.array([bucket.start_ms for bucket in buckets], np.int64)
    lines = []
    for column in shape.series:
        name = column.name.removeprefix("w/")
        values = [getattr(bucket, name) for bucket in buckets]
        if name == "mean" and series.decimals is not None:
            digits = series.decimals + MEAN_DECIMALS
            values = [None if value is None else round(value, digits) for value in values]
        lines.append(line_of(column, times, values, None))
    found: dict[Kind, Values] = {}
    present: dict[Kind, Flags] = {}
    for kind, places in shape.places.items():
        rows = [lines[place] for place in places]
        matrix = np.empty((len(rows), len(times)), DTYPES[kind])
        for row, line in enumerate(rows):
            matrix[row] = line.values
        found[kind] = matrix
        if any(line.present is not None for line in rows):
            present[kind] = np.array(
                [np.ones(len(times), np.bool_) if line.present is None else line.present for line in rows]
            )
    return pack.encode(Stretch(shape, times, found, present, None))


def _unpacked(series: Series, data: bytes) -> list[Bucket]:
    columns = _kinds(series)
    lines: list[Line] = pack.decode(data, len(columns), dict(enumerate(columns)))
    by_name = {line.series.name: line.value_list() for line in lines}
    rows = zip(lines[0].times_ms.tolist(), *(by_name[column.name] for column in columns), strict=True)
    return [Bucket(*row) for row in rows]
