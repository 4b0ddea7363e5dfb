"""One line per request in `<stateRoot>/audit/YYYYMMDD.jsonl`; runs in the store's thread."""

from __future__ import annotations

import datetime
import json
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from headgate.config.stateroot import MODE, sync_directory
from headgate.driver import Reply
from headgate.limited_log import LimitedLog
from headgate.store.files import sync_data

log = logging.getLogger(__name__)

KEEP_FILES = 32
MAX_DAY_BYTES = 8 * 1024 * 1024
"""Past it a day's requests are only counted: whoever floods the gateway must not fill its disk."""
MAX_ARGS = 1_000
"""Characters of the arguments' JSON."""
MAX_DETAIL = 1_000


@dataclass(frozen=True, slots=True)
class Entry:
    """What became of one request. `t_ms`: when it was answered, UTC; `took_ms`: since it came.

    `result`: what it did to devices, of a write: its values, old and new.
    """

    t_ms: int
    id: str
    carrier: str
    op: str
    args: Mapping[str, Any]
    reply: Reply
    took_ms: int
    result: Mapping[str, Any] | None = None


@dataclass(slots=True)
class Audit:
    """The files of one folder, the newest KEEP_FILES of them. `shed` counts lines past a day's bound."""

    folder: Path
    keep_files: int = KEEP_FILES
    max_day_bytes: int = MAX_DAY_BYTES
    shed: int = 0
    _complaints: LimitedLog = field(default_factory=lambda: LimitedLog(log))

    def write(self, entry: Entry) -> None:
        """Add a line; durable when it returns. Raises OSError."""
        path = self.folder / f"{_day(entry.t_ms)}.jsonl"
        line = _line(entry)
        self.folder.mkdir(mode=MODE, parents=True, exist_ok=True)
        fresh = not path.exists()
        with path.open("a+b") as file:
            size_bytes = file.seek(0, os.SEEK_END)
            if size_bytes + len(line) > self.max_day_bytes:
                self.shed += 1
                self._complaints.warning("full", "%s is full: requests leave no line there today", path)
                return
            if size_bytes:
                file.seek(size_bytes - 1)
                if file.read(1) != b"\n":  # a crash tore the last line
                    line = b"\n" + line
            file.write(line)
            file.flush()
            sync_data(file.fileno())
        if fresh:
            self._forget_oldest()
            sync_directory(self.folder)

    def _forget_oldest(self) -> None:
        files = sorted(self.folder.glob("????????.jsonl"))
        for path in files[: -self.keep_files]:
            path.unlink(missing_ok=True)


def _day(t_ms: int) -> str:
    return f"{datetime.datetime.fromtimestamp(t_ms / 1000, datetime.UTC):%Y%m%d}"


def _line(entry: Entry) -> bytes:
    args = json.dumps(entry.args, separators=(",", ":"))
    document = {
        "t": entry.t_ms,
        "id": entry.id,
        "carrier": entry.carrier,
        "op": entry.op,
        "args": entry.args if len(args) <= MAX_ARGS else args[:MAX_ARGS],
        "status": entry.reply.status,
        "code": entry.reply.code or entry.reply.status,
        "detail": entry.reply.detail[:MAX_DETAIL],
        "ms": entry.took_ms,
    }
    if entry.result is not None:
        document["result"] = entry.result
    return json.dumps(document, separators=(",", ":")).encode() + b"\n"
