"""A `state.db` that is damaged: what verifies goes into a new one; the rest is made again or given up.

Ids of series come out of the day files as well, so that none is ever given to another series.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from headgate.config.stateroot import StateRoot
from headgate.errors import Fatal, HeadgateError, Reject
from headgate.model import Series, dictionary_hash
from headgate.store.day_file import day_path, days_in, open_day
from headgate.store.quarantine import COMPANIONS, Note, Quarantine, mended
from headgate.store.salvage import is_busy, readable, rows_by_id, rows_until_broken
from headgate.store.segments import numbers_in
from headgate.store.sqlite import NEXT_VERSIONS, connect
from headgate.store.state import (
    OUTBOX,
    VERSION,
    State,
    outbox_sum,
    series_sum,
    small_sum,
    table_from_rows,
    table_text,
)
from headgate.store.tables import saved_tables

_CHECKED = ("outbox", "meta", "runs", "streams", "windows", "series", "dictionaries", "fresh")
"""Tables with a check of their own; of the others every row that can be read is kept."""
_SMALL = {
    "meta": "key, value",
    "runs": "bridge, run_id, up_to, touched",
    "streams": "stream, epoch, seq",
    "windows": "bridge, length_ms, closed_until",
}
_SERIES = "name, revision, unit, kind, decimals"


@dataclass(slots=True)
class Saved:
    """What came out of a damaged file. `incomplete`: tables of which something or all is gone."""

    envelopes_kept: int = 0
    envelopes_lost: int = 0
    incomplete: list[str] = field(default_factory=list)

    def lost(self) -> dict[str, object]:
        """As it is told."""
        return {
            "envelopes": self.envelopes_lost,
            "envelopes_kept": self.envelopes_kept,
            "tables": self.incomplete,
        }


def mend_state(root: StateRoot, thing: str, quarantine: Quarantine) -> Note | None:
    """Set `state.db` aside if it is damaged, and make one if it is missing beside data.

    Raises Fatal for one of a newer version, OSError.
    """
    path, blocks = root.state_db, root.blocks
    data = days_in(blocks) or numbers_in(root.journal)
    why = fault(path) if path.exists() else "missing" if data else ""
    if not why:
        return None
    target = mended(path)
    saved = _salvage(path, target, blocks, thing)
    with closing(connect(target, wal=False)) as new:
        for key, table in saved_tables(root.tables).items():
            row = (key, table_text(table))
            new.execute("INSERT OR IGNORE INTO dictionaries(hash, rows) VALUES(?, ?)", row)
    return quarantine.replace(path, f"state.db: {why}", saved.lost())


def fault(path: Path) -> str:
    """What is wrong with the file; "": nothing. It is read whole."""
    try:
        with closing(connect(path, wal=True)) as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version == 0 and db.execute("SELECT 1 FROM sqlite_master").fetchone() is None:
                return ""  # cut while it was made
            if not 1 <= version <= VERSION + NEXT_VERSIONS:
                return f"no version of it is {version}"
            for (problem,) in db.execute("PRAGMA integrity_check(3)"):
                if problem != "ok":
                    return str(problem)
            return _wrong_sum(db) if version == VERSION else ""
    except (sqlite3.DatabaseError, Fatal) as error:
        if is_busy(error):
            raise
        return str(error).removeprefix(f"{path}: ").removesuffix("; move it aside and start again")
    except (HeadgateError, ValueError, TypeError, zlib.error) as error:
        return f"a row is damaged: {error}"


def series_in(blocks: Path) -> dict[int, Series]:
    """The series of all day files that can be read, by id."""
    found: dict[int, Series] = {}
    for day in days_in(blocks):
        with suppress(Reject), open_day(day_path(blocks, day)) as reader:
            found |= reader.series()
    return found


def _wrong_sum(db: sqlite3.Connection) -> str:
    tables = {row[0] for row in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    sums = dict(db.execute("SELECT key, value FROM meta"))
    if sums.get("sum") not in (None, small_sum(db)):
        return "the sum of its positions differs"
    if sums.get("series_sum") not in (None, series_sum(db)):
        return "the sum of its series differs"
    for key, text in db.execute("SELECT hash, rows FROM dictionaries"):
        if dictionary_hash(table_from_rows(json.loads(text))) != key:
            return "the hash of a dictionary differs"
    if "fresh" in tables:
        for (looks,) in db.execute("SELECT looks FROM fresh"):
            zlib.decompress(looks)
    if any(row[1] == "sum" for row in db.execute("PRAGMA table_info(outbox)")):
        for row in db.execute(f"SELECT {OUTBOX}, sum FROM outbox"):
            if row[-1] not in (None, outbox_sum(row[1:-1])):
                return f"the sum of envelope {row[1]}/{row[2]}/{row[3]} differs"
    return ""


def _salvage(path: Path, target: Path, blocks: Path, thing: str) -> Saved:
    saved = Saved()
    for grafted in (False, True):
        for ending in ("", *COMPANIONS):
            target.with_name(target.name + ending).unlink(missing_ok=True)
        State(target, thing).close()
        saved = Saved()
        with closing(connect(target, wal=False)) as new:
            new.execute("BEGIN")
            try:
                if not path.exists():
                    raise sqlite3.DatabaseError("missing")
                with readable(path, target, grafted=grafted) as old:
                    complete = _copy(old, new, saved)
            except (sqlite3.DatabaseError, TypeError, ValueError) as error:
                if is_busy(error):
                    raise
                complete = not path.exists()
                saved.incomplete.append("all")
            _number_series(new, blocks)
            new.execute("INSERT OR REPLACE INTO meta VALUES('series_sum', ?)", (series_sum(new),))
            new.execute("INSERT OR REPLACE INTO meta VALUES('sum', ?)", (small_sum(new),))
            new.execute("COMMIT")
        if complete:
            break
    return saved


def _copy(old: sqlite3.Connection, new: sqlite3.Connection, saved: Saved) -> bool:
    """All that verifies; whether the file could be read at all."""
    old.execute("SELECT count(*) FROM sqlite_master").fetchone()
    parts: dict[str, Callable[[], bool]] = {
        "outbox": partial(_copy_outbox, old, new, saved),
        "small": partial(_copy_small, old, new),
        "series": partial(_copy_series, old, new),
        "dictionaries": partial(_copy_dictionaries, old, new),
        "fresh": partial(_copy_fresh, old, new),
        **{name: partial(_copy_rows, old, new, name, columns) for name, columns in _others(new)},
    }
    read = False
    for name, part in parts.items():
        try:
            whole = part()
            read = True
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            if is_busy(error):
                raise
            came_later = name == "fresh" or name not in ("small", *_CHECKED)
            whole = came_later and "no such table" in str(error)
        if not whole:
            saved.incomplete.append(name)
    return read


def _others(new: sqlite3.Connection) -> list[tuple[str, str]]:
    """Tables without a check of their own, and their columns."""
    found = new.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
    return [
        (name, ", ".join(row[1] for row in new.execute(f"PRAGMA table_info({name})")))
        for (name,) in found.fetchall()
        if name not in _CHECKED
    ]


def _copy_outbox(old: sqlite3.Connection, new: sqlite3.Connection, saved: Saved) -> bool:
    columns = OUTBOX.removeprefix("id, ")
    for row in rows_by_id(old, "outbox", f"{columns}, sum"):
        if row is None or row[-1] is None or row[-1] != outbox_sum(row[1:-1]):
            saved.envelopes_lost += row is not None
            continue
        with suppress(sqlite3.IntegrityError):
            new.execute(f"INSERT INTO outbox({OUTBOX}, sum) VALUES({', '.join('?' * len(row))})", row)
            saved.envelopes_kept += 1
    return not saved.envelopes_lost


def _copy_small(old: sqlite3.Connection, new: sqlite3.Connection) -> bool:
    """All of them or none: only together have they a sum."""
    expected = old.execute("SELECT value FROM meta WHERE key = 'sum'").fetchone()
    if expected is None or expected[0] != small_sum(old):
        return False
    copied = [_copy_rows(old, new, table, columns) for table, columns in _SMALL.items()]
    return all(copied)


def _copy_series(old: sqlite3.Connection, new: sqlite3.Connection) -> bool:
    expected = old.execute("SELECT value FROM meta WHERE key = 'series_sum'").fetchone()
    rows = old.execute(f"SELECT id, {_SERIES} FROM series ORDER BY id").fetchall()
    if not rows:
        return True
    if expected is None or expected[0] != series_sum(old):
        return False
    new.executemany(f"INSERT INTO series(id, {_SERIES}) VALUES(?, ?, ?, ?, ?, ?)", rows)
    return True


def _copy_dictionaries(old: sqlite3.Connection, new: sqlite3.Connection) -> bool:
    whole = True
    for row in rows_until_broken(old, "dictionaries", "hash, rows"):
        try:
            if row is None or dictionary_hash(table_from_rows(json.loads(row[1]))) != row[0]:
                raise Reject("damaged")
        except (Reject, ValueError, TypeError):
            whole = False
            continue
        new.execute("INSERT OR IGNORE INTO dictionaries(hash, rows) VALUES(?, ?)", row)
    return whole


def _copy_fresh(old: sqlite3.Connection, new: sqlite3.Connection) -> bool:
    whole = True
    for row in rows_until_broken(old, "fresh", "bridge, dictionary, looks"):
        try:
            if row is None:
                raise ValueError
            zlib.decompress(row[2])
        except (zlib.error, ValueError, TypeError):
            whole = False
            continue
        new.execute("INSERT OR IGNORE INTO fresh(bridge, dictionary, looks) VALUES(?, ?, ?)", row)
    return whole


def _copy_rows(old: sqlite3.Connection, new: sqlite3.Connection, table: str, columns: str) -> bool:
    whole = True
    marks = ", ".join("?" * len(columns.split(",")))
    for row in rows_until_broken(old, table, columns):
        if row is None:
            whole = False
            continue
        with suppress(sqlite3.IntegrityError):
            new.execute(f"INSERT OR IGNORE INTO {table}({columns}) VALUES({marks})", row)
    return whole


def _number_series(new: sqlite3.Connection, blocks: Path) -> None:
    found: Mapping[int, Series] = series_in(blocks)
    new.executemany(
        f"INSERT OR REPLACE INTO series(id, {_SERIES}) VALUES(?, ?, ?, ?, ?, ?)",
        [(number, s.name, s.revision, s.unit, s.kind, s.decimals) for number, s in found.items()],
    )
