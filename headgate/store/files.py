"""File operations of the journal, for each platform."""

from __future__ import annotations

import os
import sys


def sync_data(fd: int) -> None:
    """Return once the file's data is on the disk (fdatasync where there is one)."""
    if sys.platform == "linux":
        os.fdatasync(fd)
    else:
        os.fsync(fd)


def preallocate(fd: int, size_bytes: int) -> None:
    """Give the file its size and blocks now, so that later writes change no metadata."""
    if sys.platform == "linux":
        os.posix_fallocate(fd, 0, size_bytes)
    else:
        os.truncate(fd, size_bytes)


def write_at(fd: int, data: bytes | bytearray, offset_bytes: int) -> None:
    """Write all of `data` at an offset."""
    view = memoryview(data)
    while view:
        if sys.platform == "win32":
            os.lseek(fd, offset_bytes, os.SEEK_SET)
            done = os.write(fd, view)
        else:
            done = os.pwrite(fd, view, offset_bytes)
        view, offset_bytes = view[done:], offset_bytes + done
