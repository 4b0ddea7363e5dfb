"""`<device>.sent.jsonl` and `radio.jsonl`: what was sent, in the kernel's hands before it leaves."""

from __future__ import annotations

import json
import os
from pathlib import Path


class JsonLines:
    """A file of JSON lines that is only ever added to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)

    def append(self, row: dict[str, object]) -> None:
        os.write(self._fd, json.dumps(row, separators=(",", ":")).encode() + b"\n")

    def close(self) -> None:
        os.close(self._fd)


class SentRecord(JsonLines):
    """One sensor's record. A radio that is started again goes on counting where it ends, so that no count
    ever names two packets, two reads or two sessions."""

    def __init__(self, path: Path) -> None:
        self.adverts = self.reads = self.sessions = 0
        self._resume(path)
        super().__init__(path)

    def _resume(self, path: Path) -> None:
        if not path.exists():
            return
        whole, _, torn = path.read_bytes().rpartition(b"\n")
        if torn:
            os.truncate(path, len(whole) + 1 if whole else 0)
        for line in whole.splitlines():
            row = json.loads(line)
            if row["kind"] == "advert":
                self.adverts = row["count"]
            else:
                self.reads, self.sessions = row["count"], row["session"]
