"""One component's output on disk: time-stamped lines, rotated by size."""

from __future__ import annotations

import asyncio
import logging
import os
from datetime import UTC, datetime
from pathlib import Path

log = logging.getLogger("nucleus.log")
MAX_BYTES = 10 * 1024 * 1024
KEPT = 3
MAX_LINE_BYTES = 16 * 1024
_READ_BYTES = 64 * 1024


class ComponentLog:
    """`<component>.log`, then `.log.1` to `.log.3`, oldest last."""

    def __init__(self, path: Path, *, max_bytes: int = MAX_BYTES) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._file = path.open("ab", buffering=0)
        self._size_bytes = self._file.tell()

    def write(self, source: str, lines: list[bytes]) -> None:
        """Append lines; `source` is stdout, stderr or nucleus."""
        stamp = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3]
        data = b"".join(f"{stamp}Z [{source}] ".encode() + line + b"\n" for line in lines)
        try:
            if self._size_bytes and self._size_bytes + len(data) > self._max_bytes:
                self._rotate()
            self._file.write(data)
        except OSError as error:  # a full disk must not end the nucleus
            log.error("%s: %d lines lost: %s", self._path, len(lines), error)
        self._size_bytes += len(data)

    def _rotate(self) -> None:
        self._file.close()
        for number in range(KEPT - 1, 0, -1):
            older = self._path.with_name(f"{self._path.name}.{number}")
            if older.exists():
                older.replace(self._path.with_name(f"{self._path.name}.{number + 1}"))
        self._path.replace(self._path.with_name(f"{self._path.name}.1"))
        self._file = self._path.open("ab", buffering=0)
        self._size_bytes = 0

    async def pump(self, read_fd: int, source: str) -> None:
        """Copy a pipe's lines into the log until its end; takes the descriptor over."""
        loop = asyncio.get_running_loop()
        reader = asyncio.StreamReader(limit=_READ_BYTES)
        pipe = os.fdopen(read_fd, "rb", buffering=0)
        transport, _ = await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), pipe)
        rest = b""
        try:
            while data := await reader.read(_READ_BYTES):
                *lines, rest = (rest + data).split(b"\n")
                if len(rest) > MAX_LINE_BYTES:
                    lines, rest = [*lines, rest], b""
                if lines:
                    self.write(source, lines)
            if rest:
                self.write(source, [rest])
        finally:
            transport.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
