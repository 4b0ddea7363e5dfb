"""Records what SQLite writes and syncs: a layer over its own file system layer (sqlite3_vfs), by ctypes.

It is for the SQLite library that Python's module has loaded, where that is a shared one.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.powercut_trace import Trace

_OK = 0
_LOGS = 0x800 | 0x4000 | 0x80000
"""SQLITE_OPEN_MAIN_JOURNAL, _SUPER_JOURNAL, _WAL: at the first sync of a new one its directory is synced."""

_Int, _Pointer, _Text, _I64 = ctypes.c_int, ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int64


class _Vfs(ctypes.Structure):
    _fields_ = [
        ("version", _Int), ("file_size", _Int), ("max_path", _Int), ("next", _Pointer), ("name", _Text),
        ("app_data", _Pointer), ("open", _Pointer), ("delete", _Pointer), ("rest", _Pointer * 18),
    ]  # fmt: skip


class _Methods(ctypes.Structure):
    _fields_ = [
        ("version", _Int), ("close", _Pointer), ("read", _Pointer), ("write", _Pointer),
        ("truncate", _Pointer), ("sync", _Pointer), ("rest", _Pointer * 13),
    ]  # fmt: skip


class _File(ctypes.Structure):
    _fields_ = [("methods", ctypes.POINTER(_Methods))]


_FileP = ctypes.POINTER(_File)
# The name as a pointer: SQLite's own layer keeps it, so it must not be a copy, which goes away.
_Open = ctypes.CFUNCTYPE(_Int, _Pointer, _Pointer, _FileP, _Int, ctypes.POINTER(_Int))
_Delete = ctypes.CFUNCTYPE(_Int, _Pointer, _Text, _Int)
_Close = ctypes.CFUNCTYPE(_Int, _FileP)
_Write = ctypes.CFUNCTYPE(_Int, _FileP, _Pointer, _Int, _I64)
_Truncate = ctypes.CFUNCTYPE(_Int, _FileP, _I64)
_Sync = ctypes.CFUNCTYPE(_Int, _FileP, _Int)


def library() -> ctypes.CDLL | None:
    """The library that the module uses; None where it is built into it."""
    name = ctypes.util.find_library("sqlite3")
    if name is None:
        return None
    found = ctypes.CDLL(name)
    found.sqlite3_libversion.restype = _Text
    if found.sqlite3_libversion().decode() != sqlite3.sqlite_version:
        return None
    found.sqlite3_vfs_find.restype = ctypes.POINTER(_Vfs)
    return found


@contextmanager
def recorded(found: ctypes.CDLL, trace: Trace) -> Iterator[None]:
    """Note what SQLite does to files while entered; connections must be opened and closed inside."""
    original = found.sqlite3_vfs_find(None)
    layer = _Layer(original, trace)
    found.sqlite3_vfs_register(ctypes.byref(layer.vfs), 1)
    try:
        yield
    finally:
        found.sqlite3_vfs_unregister(ctypes.byref(layer.vfs))
        found.sqlite3_vfs_register(original, 1)


class _Layer:
    def __init__(self, original: Any, trace: Trace) -> None:
        self._trace = trace
        self._original = original
        self._paths: dict[int, Path] = {}
        self._new_logs: set[Path] = set()
        self._kept: list[Any] = []
        self._methods: dict[int, _Methods] = {}
        self._open = ctypes.cast(original.contents.open, _Open)
        self._delete = ctypes.cast(original.contents.delete, _Delete)
        self.vfs = _Vfs()
        ctypes.memmove(ctypes.byref(self.vfs), original, ctypes.sizeof(_Vfs))
        self.vfs.name, self.vfs.next = b"powercut", None
        self.vfs.open = self._pointer(_Open(self._on_open))
        self.vfs.delete = self._pointer(_Delete(self._on_delete))

    def _pointer(self, callback: Any) -> Any:
        self._kept.append(callback)
        return ctypes.cast(callback, _Pointer)

    def _on_open(self, _: Any, name: int | None, file: Any, flags: int, out: Any) -> int:
        path = Path(ctypes.string_at(name).decode()) if name else None
        new = path is not None and not path.exists()
        rc = int(self._open(self._original, name, file, flags, out))
        if rc == _OK and path is not None:
            self._paths[ctypes.addressof(file.contents)] = path
            file.contents.methods = ctypes.pointer(self._layered(file.contents.methods))
            if new:
                self._trace.add("create", path)
                if flags & _LOGS:
                    self._new_logs.add(path)
        return rc

    def _on_delete(self, _: Any, name: bytes, sync_directory: int) -> int:
        path = Path(name.decode())
        existed = path.exists()
        rc = int(self._delete(self._original, name, sync_directory))
        if rc == _OK and existed:
            self._trace.add("unlink", path)
            if sync_directory:
                self._trace.add("sync_directory", path.parent)
        return rc

    def _layered(self, methods: Any) -> _Methods:
        key = ctypes.addressof(methods.contents)
        if key not in self._methods:
            own = _Methods()
            ctypes.memmove(ctypes.byref(own), methods, ctypes.sizeof(_Methods))
            close, write = ctypes.cast(own.close, _Close), ctypes.cast(own.write, _Write)
            truncate, sync = ctypes.cast(own.truncate, _Truncate), ctypes.cast(own.sync, _Sync)
            own.close = self._pointer(_Close(lambda file: self._on_close(close, file)))
            own.write = self._pointer(_Write(lambda *words: self._on_write(write, *words)))
            own.truncate = self._pointer(_Truncate(lambda *words: self._on_truncate(truncate, *words)))
            own.sync = self._pointer(_Sync(lambda *words: self._on_sync(sync, *words)))
            self._methods[key] = own
        return self._methods[key]

    def _on_close(self, call: Callable[..., int], file: Any) -> int:
        self._paths.pop(ctypes.addressof(file.contents), None)
        return call(file)

    def _on_write(self, call: Callable[..., int], file: Any, data: int, size: int, offset: int) -> int:
        rc = call(file, data, size, offset)
        self._trace.add("write", self._path(file), offset, ctypes.string_at(data, size))
        return rc

    def _on_truncate(self, call: Callable[..., int], file: Any, size: int) -> int:
        rc = call(file, size)
        self._trace.add("truncate", self._path(file), size)
        return rc

    def _on_sync(self, call: Callable[..., int], file: Any, flags: int) -> int:
        rc = call(file, flags)
        path = self._path(file)
        self._trace.add("sync", path)
        if path in self._new_logs:
            self._new_logs.discard(path)
            self._trace.add("sync_directory", path.parent)
        return rc

    def _path(self, file: Any) -> Path:
        return self._paths[ctypes.addressof(file.contents)]
