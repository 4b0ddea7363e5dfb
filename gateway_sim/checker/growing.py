"""A record that is being written, read as it grows: each look yields the whole lines since the last one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path


class GrowingFile:
    """One file of lines; it need not be there yet."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0

    def new(self) -> Iterator[bytes]:
        """Lines that are whole; one that is still being written waits for the next call."""
        try:
            with self.path.open("rb") as record:
                record.seek(self._offset)
                data = record.read()
        except FileNotFoundError:
            return
        whole = data[: data.rfind(b"\n") + 1]
        self._offset += len(whole)
        yield from whole.splitlines()
