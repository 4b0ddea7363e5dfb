"""Opens SQLite files as the store wants them: every commit durable, versions checked, errors in words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

from headgate.config.stateroot import sync_directory
from headgate.errors import Fatal

NEXT_VERSIONS = 8
"""A version so little above ours is taken for a newer hub's; one further off for damage."""


def connect(path: Path, *, wal: bool) -> sqlite3.Connection:
    """Open for writing, from any thread (one at a time); transactions begin and end where told.

    Raises Fatal for a file that is no database or cannot be written.
    """
    connection: sqlite3.Connection | None = None
    try:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        connection.execute(f"PRAGMA journal_mode={'WAL' if wal else 'DELETE'}")
        connection.execute("PRAGMA synchronous=FULL")
    except sqlite3.DatabaseError as error:
        if connection is not None:
            connection.close()
        raise Fatal(f"{path}: {error}; move it aside and start again") from error
    return connection


def pending_bytes(connection: sqlite3.Connection, path: Path) -> int:
    """By how much the file grows once its write-ahead log is taken into it."""
    pages, page_bytes = (
        connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size")
    )
    return max(0, int(pages) * int(page_bytes) - path.stat().st_size)


def migrate(
    connection: sqlite3.Connection,
    path: Path,
    version: int,
    schema: str,
    steps: Mapping[int, str] = MappingProxyType({}),
) -> None:
    """Create the tables in a new file, or bring an older one up to date: `steps[n]` leads from n to n + 1.

    A new file's name is durable too. Raises Fatal for a file of another version or none of ours.
    """
    try:
        found: int = connection.execute("PRAGMA user_version").fetchone()[0]
        if found == 0:
            _change(connection, schema, version)
            sync_directory(path.parent)
        while found in steps and found < version:
            found += 1
            _change(connection, steps[found - 1], found)
        if found not in (0, version):
            raise Fatal(f"{path} is of version {found}, this hub reads {version}: update headgate.Hub")
    except sqlite3.DatabaseError as error:
        raise Fatal(f"{path}: {error}; move it aside and start again") from error


def _change(connection: sqlite3.Connection, statements: str, version: int) -> None:
    with transaction(connection):
        for statement in statements.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version={version}")


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """All of it or nothing; durable when left."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        if connection.in_transaction:  # where the disk fails or is full SQLite may have done it
            connection.execute("ROLLBACK")
        raise
    connection.execute("COMMIT")
