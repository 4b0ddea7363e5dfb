"""How many bytes lie under the state root, by kind: read from the file system, and again where it changed."""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path

UNIT_BYTES = 4_096
"""A file counts in units of what file systems give out."""
WALK_EVERY_MS = 60_000
"""Files of others (audit, the courier's) may grow without their directory changing: so often all is read."""
_RACY_NS = 2_000_000_000
"""A directory that changed so lately may change again without looking changed."""


@dataclass(slots=True)
class _Folder:
    """What was found in a directory: its own files, and what is below it."""

    changed_ns: int
    trusted: bool
    size_bytes: int = 0
    folders: list[Path] = field(default_factory=list)


class Usage:
    """Measures one root. `hot`: directories of which every file is looked at each time."""

    def __init__(self, root: Path, hot: Collection[Path] = ()) -> None:
        self._root = root
        self._hot = frozenset({root, *hot})
        self._known: dict[Path, _Folder] = {}
        self._walked_ms: int | None = None

    def measure(self, boot_ms: int) -> dict[str, int]:
        """Bytes by kind: the name of the directory, or `state.db` (its logs with it), or `other`."""
        if self._walked_ms is None or boot_ms - self._walked_ms >= WALK_EVERY_MS:
            self._known.clear()
            self._walked_ms = boot_ms
        found = {"state.db": 0, "other": 0}
        for entry in _entries(self._root):
            if entry.is_dir(follow_symlinks=False):
                found[entry.name] = self._below(Path(entry.path))
            else:
                kind = "state.db" if entry.name.startswith("state.db") else "other"
                found[kind] += _size(entry)
        return found

    def forget(self, *paths: Path) -> None:
        """These directories changed, maybe without looking it: what was known of them is read again."""
        for path in paths:
            self._known.pop(path, None)

    def _below(self, path: Path) -> int:
        known = self._known.get(path)
        try:
            changed_ns = path.stat().st_mtime_ns
        except FileNotFoundError:
            return 0
        if known is None or not known.trusted or known.changed_ns != changed_ns or path in self._hot:
            trusted = abs(time.time_ns() - changed_ns) > _RACY_NS
            known = self._known[path] = _Folder(changed_ns, trusted)
            for entry in _entries(path):
                if entry.is_dir(follow_symlinks=False):
                    known.folders.append(Path(entry.path))
                else:
                    known.size_bytes += _size(entry)
        return known.size_bytes + sum(map(self._below, known.folders))


def size_of(path: Path) -> int:
    """What one file counts; 0 where it is gone."""
    try:
        return _rounded(path.stat().st_size)
    except FileNotFoundError:
        return 0


def _entries(path: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(path) as found:
            return list(found)
    except FileNotFoundError:
        return []


def _size(entry: os.DirEntry[str]) -> int:
    try:
        return _rounded(entry.stat(follow_symlinks=False).st_size)
    except FileNotFoundError:
        return 0


def _rounded(size_bytes: int) -> int:
    return -(-size_bytes // UNIT_BYTES) * UNIT_BYTES
