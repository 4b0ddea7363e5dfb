"""Replies too large for the way up, as files of the source `replies`; runs in the store's thread."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headgate.config.stateroot import MODE, write_atomically
from headgate.model import file_id

SOURCE = "replies"
KEEP_BYTES = 64 * 1024 * 1024
KEEP_FILES = 256


@dataclass(frozen=True, slots=True)
class ReplySpool:
    """The folder of those files; past the bounds the oldest go."""

    folder: Path
    keep_bytes: int = KEEP_BYTES
    keep_files: int = KEEP_FILES

    def write(self, request_id: str, data: bytes) -> tuple[str, dict[str, Any]]:
        """Keep a reply durably; returns its file id and the report that announces it. Raises OSError."""
        self.folder.mkdir(mode=MODE, parents=True, exist_ok=True)
        path = self.folder / f"{request_id}.json"
        write_atomically(path, data)
        found = path.stat()
        number = file_id(SOURCE, path.name, found.st_size, found.st_mtime_ns)
        self._make_room(path)
        return number, {
            "type": "file",
            "file_id": number,
            "source": SOURCE,
            "path": path.name,
            "size": found.st_size,
            "mtime_ms": found.st_mtime_ns // 1_000_000,
        }

    def _make_room(self, newest: Path) -> None:
        """The courier may remove files at the same time."""
        found = []
        for path in self.folder.glob("*.json"):
            try:
                stat = path.stat()
            except FileNotFoundError:
                continue
            if path != newest:
                found.append((stat.st_mtime_ns, stat.st_size, path))
        kept_bytes, kept = newest.stat().st_size, 1
        for _, size_bytes, path in sorted(found, reverse=True):
            kept_bytes, kept = kept_bytes + size_bytes, kept + 1
            if kept_bytes > self.keep_bytes or kept > self.keep_files:
                path.unlink(missing_ok=True)
