"""Day files that are damaged: what still verifies goes into a new file, block by block, and is counted."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from headgate.errors import Fatal, HeadgateError, Reject
from headgate.model import Series
from headgate.store.blocks import leave_whole, series_row
from headgate.store.day_file import (
    SCHEMA,
    STEPS,
    VERSION,
    BlockRow,
    Newer,
    block_sum,
    day_path,
    days_in,
    has_sums,
    open_day,
    row_sum,
    verify_block,
)
from headgate.store.quarantine import COMPANIONS, Note, Quarantine, mended
from headgate.store.salvage import is_busy, readable, rows_by_id
from headgate.store.sqlite import connect, migrate, transaction

CHECKED_AT_START = 2
"""The newest files, those that are written, are read whole; of older ones the tables of series."""


@dataclass(slots=True)
class Salvaged:
    """What came out of a file, and what is known to have been in it beside that."""

    blocks: int = 0
    samples: int = 0
    blocks_lost: int = 0
    samples_lost: int = 0


def mend_days(
    folder: Path, quarantine: Quarantine, known: Mapping[int, Series], replay: int | None
) -> list[Note]:
    """Mend what is damaged. `known`: series by id; `replay`: from where the journal is whole, if it is."""
    days = days_in(folder)
    found = [
        mend_day(day_path(folder, day), quarantine, known, replay, whole=day in days[-CHECKED_AT_START:])
        for day in days
    ]
    return [note for note in found if note is not None]


def mend_day(
    path: Path, quarantine: Quarantine, known: Mapping[int, Series], replay: int | None, *, whole: bool = True
) -> Note | None:
    """Set a file aside if it is damaged. Raises Fatal for one of a newer version, OSError."""
    why = fault(path, whole=whole)
    if not why:
        return None
    target = mended(path)
    for ending in ("", *COMPANIONS):
        target.with_name(target.name + ending).unlink(missing_ok=True)
    counts = _salvage(path, target, known, replay)
    return quarantine.replace(path, f"day file: {why}", asdict(counts))


def fault(path: Path, *, whole: bool) -> str:
    """What is wrong with a day file; "": nothing that was looked for. Raises Fatal for a newer version."""
    try:
        _settle(path)
        with open_day(path) as reader:
            series = reader.series()
            reader.shapes(series)
            reader.through()
            if not whole:
                return ""
            for problem in reader.check():
                return problem
            reader.want(series)
            for key, shape, _ in reader.blocks():
                reader.verify(key, shape)
    except Newer as error:
        raise Fatal(f"{error}: update headgate.Hub") from error
    except Reject as error:
        if error.__cause__ is not None and is_busy(error):
            raise Fatal(str(error)) from error.__cause__
        return str(error).removeprefix(f"{path}: ")
    except (sqlite3.DatabaseError, Fatal) as error:
        if is_busy(error):
            raise
        return str(error).removeprefix(f"{path}: ").removesuffix("; move it aside and start again")
    return ""


def _settle(path: Path) -> None:
    if any(path.with_name(path.name + ending).exists() for ending in ("-journal", "-wal")):
        leave_whole(connect(path, wal=True))


def _salvage(path: Path, target: Path, known: Mapping[int, Series], replay: int | None) -> Salvaged:
    """Into `target`, from the file as it is, and failing that with a first page of ours."""
    counts = Salvaged()
    for grafted in (False, True):
        target.unlink(missing_ok=True)
        with closing(connect(target, wal=False)) as new:
            migrate(new, target, VERSION, SCHEMA, STEPS)
            with readable(path, target, grafted=grafted) as old:
                try:
                    with transaction(new):
                        counts = _copy(old, new, known, replay)
                except (sqlite3.DatabaseError, HeadgateError, TypeError, ValueError) as error:
                    if is_busy(error):
                        raise
        if counts.blocks:
            break
    return counts


def _copy(
    old: sqlite3.Connection, new: sqlite3.Connection, known: Mapping[int, Series], replay: int | None
) -> Salvaged:
    counts = Salvaged()
    total = "sum" if has_sums(old) else "NULL"
    through = "through" if _has_column(old, "blocks", "through") else "0"
    shapes = _shapes_of(old, known, total)
    written: set[int] = set()
    newest, cut = 0, None
    columns = f"shape, first_ms, last_ms, samples, {through}, data, {total}"
    for row in rows_by_id(old, "blocks", columns):
        if row is None or not _good(row[1:], shapes):
            counts.blocks_lost += 1
            counts.samples_lost += row[4] if row is not None and isinstance(row[4], int) else 0
            cut = newest if cut is None else cut
            continue
        shape = row[1]
        if shape not in written:
            written.add(shape)
            _add_shape(new, shape, shapes[shape])
        fields = row[1:7]
        new.execute(
            "INSERT INTO blocks(id, shape, first_ms, last_ms, samples, through, data, sum) "
            "VALUES(?, ?, ?, ?, ?, ?, ?, ?)",
            (row[0], *fields, block_sum(*fields)),
        )
        newest = max(newest, row[5])
        counts.blocks += 1
        counts.samples += row[4]
    if cut is not None and replay is not None and replay <= cut:
        # The journal still has what is lost, and all behind it.
        counts.blocks -= new.execute("DELETE FROM blocks WHERE through > ?", (cut,)).rowcount
        newest = cut
    new.execute("INSERT OR REPLACE INTO meta VALUES('through', ?)", (newest,))
    return counts


def _good(row: BlockRow, shapes: Mapping[int, Sequence[tuple[int, Series]]]) -> bool:
    members = shapes.get(row[0])
    if members is None:
        return False
    try:
        verify_block(row, len(members), {place: one for place, (_, one) in enumerate(members)})
    except (Reject, TypeError, ValueError):
        return False
    return True


def _shapes_of(
    old: sqlite3.Connection, known: Mapping[int, Series], total: str
) -> dict[int, list[tuple[int, Series]]]:
    """The series of each shape of which all are known."""
    series: dict[int, Series] = {}
    for row in rows_by_id(old, "series", f"name, unit, kind, decimals, revision, {total}"):
        if row is not None and row[-1] in (None, row_sum(*row[:-1])):
            with suppress(TypeError, ValueError):
                series[row[0]] = Series(*row[1:-1])
    series |= known
    found: dict[int, list[tuple[int, Series]]] = {}
    for row in rows_by_id(old, "shapes", f"series, {total}"):
        if row is None or not isinstance(row[1], bytes) or len(row[1]) % 4:
            continue
        ids = np.frombuffer(row[1], "<u4").tolist()
        if row[2] in (None, row_sum(*row[:2])) and all(number in series for number in ids):
            found[row[0]] = [(number, series[number]) for number in ids]
    return found


def _add_shape(new: sqlite3.Connection, shape: int, members: Sequence[tuple[int, Series]]) -> None:
    new.executemany(
        "INSERT OR IGNORE INTO series(id, name, revision, unit, kind, decimals, sum) "
        "VALUES(?, ?, ?, ?, ?, ?, ?)",
        [series_row(number, one) for number, one in members],
    )
    key = np.array([number for number, _ in members], "<u4").tobytes()
    new.execute("INSERT INTO shapes(id, series, sum) VALUES(?, ?, ?)", (shape, key, row_sum(shape, key)))


def _has_column(db: sqlite3.Connection, table: str, column: str) -> bool:
    return any(row[1] == column for row in db.execute(f"PRAGMA table_info({table})"))
