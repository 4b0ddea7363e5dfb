"""A disk that fails once, at the n-th write, sync, name or statement of this process, and is well again."""

from __future__ import annotations

import errno
import os
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest


class FailingDisk:
    """Counts what reaches the disk. `forgets`: what a failed sync was to write is gone, else memory has it
    still. `rolls_back`: a statement that fails ends its transaction, as SQLite may.
    """

    def __init__(self, at: int, *, forgets: bool, rolls_back: bool) -> None:
        self.taken = 0
        self.failed = ""
        self._at = at
        self._forgets = forgets
        self._rolls_back = rolls_back
        self._before: dict[int, list[tuple[int, bytes]]] = {}

    def install(self, patch: pytest.MonkeyPatch) -> None:
        """Stand before the system's calls and SQLite's."""
        write, close = os.pwrite, os.close

        def pwrite(fd: int, data: Any, offset: int) -> int:
            self._before.setdefault(fd, []).append((offset, os.pread(fd, len(data), offset)))
            if self._fails("write"):
                write(fd, bytes(data)[: len(data) // 2], offset)
                raise OSError(errno.EIO, "Input/output error")
            return write(fd, data, offset)

        def close_(fd: int) -> None:
            self._before.pop(fd, None)
            close(fd)

        def sync(real: Callable[[int], None]) -> Callable[[int], None]:
            def call(fd: int) -> None:
                before = self._before.pop(fd, [])
                if self._fails("sync"):
                    for offset, data in reversed(before if self._forgets else []):
                        write(fd, data, offset)
                    raise OSError(errno.EIO, "Input/output error")
                real(fd)

            return call

        patch.setattr(os, "pwrite", pwrite)
        patch.setattr(os, "close", close_)
        for name in ("fdatasync", "fsync"):
            patch.setattr(os, name, sync(getattr(os, name)))
        for name in ("posix_fallocate", "unlink", "replace", "rename"):
            patch.setattr(os, name, self._failing(name, getattr(os, name)))
        self._install_sqlite(patch)

    def _install_sqlite(self, patch: pytest.MonkeyPatch) -> None:
        disk, connect = self, sqlite3.connect

        class Connection(sqlite3.Connection):
            def execute(self, *args: Any) -> sqlite3.Cursor:
                disk.statement(self, str(args[0]))
                return super().execute(*args)

            def executemany(self, *args: Any) -> sqlite3.Cursor:
                disk.statement(self, str(args[0]))
                return super().executemany(*args)

        def opened(*args: Any, **kwargs: Any) -> sqlite3.Connection:
            return connect(*args, **kwargs, factory=Connection)

        patch.setattr(sqlite3, "connect", opened)

    def statement(self, connection: sqlite3.Connection, text: str) -> None:
        """A statement is about to be done."""
        if text == "ROLLBACK" or not self._fails(f"SQL {text[:40]}"):
            return
        if self._rolls_back and connection.in_transaction:
            connection.rollback()
        error = sqlite3.OperationalError("disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC
        raise error

    def _failing(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            if self._fails(name):
                raise OSError(errno.EIO, "Input/output error")
            return real(*args, **kwargs)

        return call

    def _fails(self, what: str) -> bool:
        self.taken += 1
        if self.taken != self._at:
            return False
        self.failed = what
        return True
