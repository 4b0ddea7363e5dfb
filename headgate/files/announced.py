"""Which files were announced, durably: one id a line, synced once the hub has the announcement on disk."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path

from headgate.config.stateroot import MODE, write_atomically

MAX_IDS = 50_000
KEEP_IDS = 25_000
_FILE_ID = re.compile("[0-9a-f]{32}")


class Announced:
    """The ids. Past a bound the oldest are forgotten, and such files announced again, which harms nobody."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._ids: dict[str, None] = {}

    def load(self) -> None:
        """Read what was kept. Raises OSError."""
        self._path.parent.mkdir(mode=MODE, parents=True, exist_ok=True)
        text = self._path.read_text("ascii", "replace") if self._path.exists() else ""
        self._ids = dict.fromkeys(line for line in text.splitlines() if _FILE_ID.fullmatch(line))
        if text and not text.endswith("\n"):
            self._rewrite()

    def __contains__(self, file_id: str) -> bool:
        return file_id in self._ids

    def add(self, file_ids: Sequence[str]) -> None:
        """These are announced. Raises OSError."""
        self._ids |= dict.fromkeys(file_ids)
        if len(self._ids) > MAX_IDS:
            self._ids = dict.fromkeys(list(self._ids)[-KEEP_IDS:])
            self._rewrite()
            return
        with self._path.open("ab") as file:
            file.write("".join(f"{file_id}\n" for file_id in file_ids).encode())
            file.flush()
            os.fsync(file.fileno())

    def forget(self, file_id: str) -> None:
        """It is to be announced again. Raises OSError."""
        if self._ids.pop(file_id, "") is None:
            self._rewrite()

    def _rewrite(self) -> None:
        write_atomically(self._path, "".join(f"{file_id}\n" for file_id in self._ids).encode())
