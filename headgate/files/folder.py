"""One configured folder, opened step by step from its own descriptor: no link is followed, nothing escapes.

The folder itself may be a link: it is what the configuration says. Everything below it is opened by name
relative to the directory above, with O_NOFOLLOW, so that nobody can swap a step for a link in between.
"""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

from headgate.driver import Refused
from headgate.files.config import Source

MAX_DEPTH = 8
MAX_FILES = 10_000
"""Offered of one folder; what is beyond is counted, not offered."""
MAX_ENTRIES = 100_000
MAX_PATH = 1_024
"""Characters of a path that may be asked for (docs/requests.md, operation `fetch`)."""

# Not on Windows, where the courier does not run; O_NONBLOCK: opening a FIFO must not wait for its writer.
_DIRECTORY = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_CLOEXEC", 0)
_NOFOLLOW: int = getattr(os, "O_NOFOLLOW", 0)
_FILE = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0) | getattr(os, "O_CLOEXEC", 0)

Inode = tuple[int, int]
"""Device and inode."""


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """What changes when a file's content does, short of malice; S3's checksums see the rest."""

    size_bytes: int
    mtime_ns: int
    inode: int


@dataclass(frozen=True, slots=True)
class Found:
    """A regular file in a folder; `path` is relative, with /."""

    source: str
    path: str
    mark: Fingerprint


@dataclass(slots=True)
class Scan:
    """What a look at one folder found, and how much of it is not offered; `fault` says why it saw nothing."""

    found: list[Found] = field(default_factory=list)
    skipped: int = 0
    entries: int = 0
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Folder:
    """A source's folder. `closed`: directories that are never entered, whatever leads to them."""

    source: Source
    closed: frozenset[Inode] = frozenset()

    def scan(self) -> Scan:
        """Every file that is offered, ascending by path within each directory; never raises OSError."""
        scan = Scan()
        try:
            root = os.open(self.source.path, _DIRECTORY)
        except OSError as error:
            scan.fault = f"{self.source.path}: {error.strerror}"
            return scan
        try:
            self._scan(root, "", 0, scan)
        except OSError as error:  # such as a network folder that went away
            scan.fault = f"{self.source.path}: {error.strerror}"
        finally:
            os.close(root)
        return scan

    @contextlib.contextmanager
    def opened(self, path: str) -> Iterator[tuple[BinaryIO, Fingerprint]]:
        """A file for reading, unbuffered, and what it is. Raises Refused (outside_roots, unknown_file)."""
        with self._directory_of(path) as (directory, name):
            descriptor = self._open(directory, name, path)
        with os.fdopen(descriptor, "rb", buffering=0) as file:
            yield file, fingerprint(os.fstat(file.fileno()))

    def look(self, path: str) -> Fingerprint:
        """What a file is now. Raises Refused."""
        with self.opened(path) as (_, mark):
            return mark

    def offers(self, path: str) -> bool:
        """Whether the source's pattern lets a file of that path be asked for."""
        parts = path.split("/")
        hidden = any(part.startswith(".") for part in parts[:-1])
        return len(parts) <= MAX_DEPTH + 1 and not hidden and self._matches(parts[-1])

    def remove(self, path: str, mark: Fingerprint) -> bool:
        """Remove a file that is still what it was. Raises Refused or OSError."""
        if self.look(path) != mark:
            return False
        with self._directory_of(path) as (directory, name):
            os.unlink(name, dir_fd=directory)
        return True

    def _matches(self, name: str) -> bool:
        if name.startswith(".") and not self.source.pattern.startswith("."):
            return False
        return fnmatch.fnmatchcase(name, self.source.pattern)

    def _scan(self, directory: int, prefix: str, depth: int, scan: Scan) -> None:
        if self._is_closed(directory):
            return
        try:
            with os.scandir(directory) as listed:
                entries = []
                for entry in listed:
                    scan.entries += 1
                    if scan.entries > MAX_ENTRIES:
                        scan.skipped += 1
                        break
                    entries.append(entry)
        except OSError:
            scan.skipped += 1
            return
        for entry in sorted(entries, key=lambda entry: entry.name):
            try:
                self._take(directory, entry, prefix, depth, scan)
            except OSError as error:  # gone, or not ours to read
                scan.skipped += error.errno != errno.ENOENT

    def _take(self, directory: int, entry: os.DirEntry[str], prefix: str, depth: int, scan: Scan) -> None:
        if entry.is_dir(follow_symlinks=False):
            if entry.name.startswith("."):
                return
            if depth >= MAX_DEPTH:
                scan.skipped += 1
                return
            inner = os.open(entry.name, _DIRECTORY | _NOFOLLOW, dir_fd=directory)
            try:
                self._scan(inner, f"{prefix}{entry.name}/", depth + 1, scan)
            finally:
                os.close(inner)
        elif entry.is_file(follow_symlinks=False) and self._matches(entry.name):
            path = prefix + entry.name
            if len(scan.found) >= MAX_FILES or not _sayable(path):
                scan.skipped += 1
                return
            scan.found.append(Found(self.source.name, path, fingerprint(entry.stat(follow_symlinks=False))))

    @contextlib.contextmanager
    def _directory_of(self, path: str) -> Iterator[tuple[int, str]]:
        """The descriptor of the directory that a path ends in, and the file's name there."""
        parts = path.split("/")
        if any(part in ("", ".", "..") or "\0" in part for part in parts) or not _sayable(path):
            raise self._outside(path, "a path is relative, without . and ..")
        try:
            directory = os.open(self.source.path, _DIRECTORY)
        except OSError as error:
            raise self._unknown(path, f"its folder cannot be read: {error.strerror}") from error
        try:
            for part in parts[:-1]:
                if self._is_closed(directory):
                    raise self._outside(path, "it leads into the gateway's own state")
                inner = self._step(directory, part, path)
                os.close(directory)
                directory = inner
            if self._is_closed(directory):
                raise self._outside(path, "it leads into the gateway's own state")
            yield directory, parts[-1]
        finally:
            os.close(directory)

    def _step(self, directory: int, part: str, path: str) -> int:
        try:
            return os.open(part, _DIRECTORY | _NOFOLLOW, dir_fd=directory)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EMLINK):
                raise self._outside(path, f"{part!r} is no directory, and links are not followed") from error
            raise self._unknown(path, str(error.strerror)) from error

    def _open(self, directory: int, name: str, path: str) -> int:
        try:
            # Looked at first: opening some special files does something.
            if not stat.S_ISREG(os.stat(name, dir_fd=directory, follow_symlinks=False).st_mode):
                raise self._outside(path, "it is no regular file, and links are not followed")
            descriptor = os.open(name, _FILE | _NOFOLLOW, dir_fd=directory)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise self._outside(path, "links are not followed") from error
            raise self._unknown(path, str(error.strerror)) from error
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise self._outside(path, "it is no regular file")
        return descriptor

    def _is_closed(self, directory: int) -> bool:
        found = os.fstat(directory)
        return (found.st_dev, found.st_ino) in self.closed

    def _outside(self, path: str, why: str) -> Refused:
        return Refused("outside_roots", f"source {self.source.name}: {path[:200]!r}: {why}")

    def _unknown(self, path: str, why: str) -> Refused:
        return Refused("unknown_file", f"source {self.source.name}: {path[:200]!r}: {why}")


def fingerprint(found: os.stat_result) -> Fingerprint:
    """What of a file's attributes is compared."""
    return Fingerprint(found.st_size, found.st_mtime_ns, found.st_ino)


def inodes_below(path: str | os.PathLike[str], depth: int) -> Iterator[Inode]:
    """A directory and those in it, `depth` levels down; what cannot be read is left out."""
    own = inode_of(path)
    if own is None:
        return
    yield own
    if depth > 0:
        with contextlib.suppress(OSError), os.scandir(path) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    yield from inodes_below(entry.path, depth - 1)


def inode_of(path: str | os.PathLike[str]) -> Inode | None:
    """What a directory is known by; None where there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116  of whatever kind of path
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _sayable(path: str) -> bool:
    """Whether a path can be said in JSON and asked for; other names are not UTF-8, or too long."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return len(path) <= MAX_PATH
