"""Which errors of a store pass: the disk is full, read-only or failing, or another hub has the root."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator

from headgate.store.lock import RootInUse

KEPT = "nothing is acknowledged until then, bridges keep what they have"

_FULL = "the disk is full, or its quota used up: make room; the hub goes on by itself"
_READ_ONLY = (
    "the file system is read-only: look for the reason in dmesg, repair it, and remount it (or replace the "
    "card); the hub goes on by itself"
)
_FAILING = (
    "the disk fails: look into dmesg, and replace it; the hub opens its files anew, and trusts only what it "
    "reads back"
)
_DAMAGED = "a file is damaged: it is opened anew, and set aside if it cannot be read"
_ERRNOS = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: _FULL,
    errno.EROFS: _READ_ONLY,
    errno.EIO: _FAILING,
    errno.ENXIO: _FAILING,
    errno.ENODEV: _FAILING,
}
_SQLITE = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_IOERR: _FAILING,
    sqlite3.SQLITE_CANTOPEN: _FAILING,
    sqlite3.SQLITE_CORRUPT: _DAMAGED,
    sqlite3.SQLITE_NOTADB: _DAMAGED,
}


def outage(error: BaseException) -> str | None:
    """What is wrong and what helps, where the store may be opened again later; None for any other error."""
    if isinstance(error, RootInUse):
        return str(error)
    for cause in _chain(error):
        found = None
        if isinstance(cause, OSError):
            found = _ERRNOS.get(cause.errno or 0)
        elif isinstance(cause, sqlite3.Error):
            found = _SQLITE.get(getattr(cause, "sqlite_errorcode", 0) & 0xFF)
        if found is not None:
            return f"{error}: {found}"
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__
