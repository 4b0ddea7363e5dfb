"""What the journal does to files: one small class, so that tests can record every write and every sync."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from headgate.config.stateroot import sync_directory

_ZEROS = bytes(1 << 14)


class Disk:
    """The file system. Raises OSError as it does."""

    def create(self, path: Path) -> int:
        """A new, empty file (over an old one), open to be read and written."""
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o640)

    def open(self, path: Path) -> int:
        """A file that is there, open to be read and written."""
        return os.open(path, os.O_RDWR)

    def write(self, fd: int, data: bytes | bytearray, offset_bytes: int) -> None:
        """Write all of `data` at an offset."""
        view = memoryview(data)
        while view:
            if sys.platform == "win32":
                os.lseek(fd, offset_bytes, os.SEEK_SET)
                done = os.write(fd, view)
            else:
                done = os.pwrite(fd, view, offset_bytes)
            view, offset_bytes = view[done:], offset_bytes + done

    def sync(self, fd: int) -> None:
        """Return once the file's data is on the disk (fdatasync where there is one)."""
        sync_data(fd)

    def sync_directory(self, path: Path) -> None:
        """Return once the names in a directory are on the disk."""
        sync_directory(path)

    def unlink(self, path: Path) -> None:
        """Remove a file, if it is there."""
        path.unlink(missing_ok=True)

    def close(self, fd: int) -> None:
        """Close a file."""
        os.close(fd)


def fill_zeros(disk: Disk, fd: int, start: int, end: int) -> None:
    """Write zeros, so that later writes there change nothing but data.

    Space that is merely reserved (fallocate) costs the file system a journal commit at each later sync: twice
    the time and some 3 kB more for each, measured on ext4.
    """
    if sys.platform == "linux" and end > start:
        os.posix_fallocate(fd, start, end - start)  # all of the room, or none of it
    for at in range(start, end, len(_ZEROS)):
        disk.write(fd, _ZEROS[: end - at], at)


def sync_data(fd: int) -> None:
    """As `Disk.sync`."""
    if sys.platform == "linux":
        os.fdatasync(fd)
    else:
        os.fsync(fd)


def reread(path: Path) -> None:
    """Write to the disk what waits of a file, and forget the rest of it. Raises OSError."""
    fd = os.open(path, os.O_RDWR)
    try:
        sync_data(fd)
        if sys.platform == "linux":
            os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(fd)
