"""Reading what can be read of a damaged SQLite file: row by row, around pages that are broken."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

SINGLE_STEPS = 20_000
"""So many ids are tried one by one behind a row that cannot be read, then in ever longer steps."""
_MAX_ID = 1 << 62
_SIZE_AT, _COUNT_AT = 28, 24
"""Where SQLite's header has the number of pages, and its change counter (again at 92)."""

DISK_FAULTS = frozenset(
    {
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_AUTH,
    }
)
_SHORT_READ = sqlite3.SQLITE_IOERR_SHORT_READ


def is_busy(error: BaseException) -> bool:
    """Whether the disk or the process is to blame, not what is in the file."""
    cause = error if isinstance(error, sqlite3.Error) else error.__cause__
    code = getattr(cause, "sqlite_errorcode", None)
    return code is not None and code != _SHORT_READ and code & 0xFF in DISK_FAULTS


def rows_by_id(db: sqlite3.Connection, table: str, columns: str) -> Iterator[tuple[Any, ...] | None]:
    """(id, columns) of each row in the order of ids; None for each id that is passed over in a broken page.

    Raises sqlite3.DatabaseError where nothing of the table can be read at all.
    """
    statement = f"SELECT id, {columns} FROM {table} NOT INDEXED WHERE id >= ? ORDER BY id LIMIT 1"
    db.execute(statement, (_MAX_ID,))
    wanted, tried = -1, 0
    while wanted < _MAX_ID:
        try:
            row = db.execute(statement, (wanted,)).fetchone()
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            if is_busy(error):
                raise
            tried += 1
            wanted = max(wanted, 0) + (1 if tried < SINGLE_STEPS else 1 << min(62, tried - SINGLE_STEPS))
            if tried < SINGLE_STEPS and tried > 1:
                yield None
            continue
        if row is None:
            return
        tried = 0
        yield row
        wanted = row[0] + 1


def rows_until_broken(db: sqlite3.Connection, table: str, columns: str) -> Iterator[tuple[Any, ...] | None]:
    """The rows of a table without ids, in both directions, up to what is broken; None once if anything is."""
    key = "1" if "," not in columns else "1, 2"
    seen: set[tuple[Any, ...]] = set()
    for order in (key, ", ".join(f"{part} DESC" for part in key.split(", "))):
        try:
            for row in db.execute(f"SELECT {columns} FROM {table} ORDER BY {order}"):
                if row[:2] not in seen:
                    seen.add(row[:2])
                    yield row
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            if is_busy(error):
                raise
            if order == key:
                yield None
            continue
        return


@contextmanager
def readable(path: Path, fresh: Path, *, grafted: bool) -> Iterator[sqlite3.Connection]:
    """A damaged file, to be read. `grafted`: a copy of it with the first page of the file `fresh`.

    That page says where each table starts, which is the same in all files that were made alike.
    """
    if not grafted:
        with closing(_reading(path)) as db:
            yield db
        return
    copy = fresh.with_name(fresh.name + "-graft")
    try:
        shutil.copyfile(path, copy)
        with fresh.open("rb") as file:
            page = bytearray(file.read(4096))
        size_bytes = int.from_bytes(page[16:18], "big")
        page[_SIZE_AT : _SIZE_AT + 4] = (copy.stat().st_size // size_bytes).to_bytes(4, "big")
        page[92:96] = page[_COUNT_AT : _COUNT_AT + 4]
        with copy.open("r+b") as file:
            file.write(page[:size_bytes])
        with closing(_reading(copy)) as db:
            yield db
    finally:
        copy.unlink(missing_ok=True)


def _reading(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True, check_same_thread=False)
