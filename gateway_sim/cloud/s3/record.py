"""What the stand-in writes down: a line per PUT in `s3.jsonl`, counts, and the faults it is told to have."""

from __future__ import annotations

import dataclasses
import json
import threading
from dataclasses import dataclass
from pathlib import Path


@dataclass(slots=True)
class Counts:
    """All counts are since the start."""

    parts_stored: int = 0
    parts_again: int = 0  # of those, parts that were held already: a finished part was sent twice
    part_bytes: int = 0  # of the parts stored
    puts_refused: int = 0
    puts_cut: int = 0  # the connection ended before the body did


@dataclass(slots=True)
class Faults:
    """Set from outside, read with every request."""

    refusing: bool = False  # 503 SlowDown to everything
    cutting: bool = False  # every connection is closed
    cut_parts: int = 0  # so many part uploads are cut in their middle
    slow: bool = False  # parts come at SLOW_BYTES_PER_S of server.py, as over a thin line
    none_before_s: float = 0.0  # pre-signed URLs made until then are expired


@dataclass(frozen=True, slots=True)
class Put:
    """One PUT: `status` is 0 where the connection was cut before an answer; `code` is S3's, "" for success.

    `size_bytes` is what was announced, `received_bytes` what came. `part` is 0 for an object put whole.
    """

    t_ms: int
    key: str
    upload_id: str
    part: int
    size_bytes: int
    received_bytes: int
    status: int
    code: str


class Record:
    """Any thread may add; a line is written before its answer leaves."""

    def __init__(self, path: Path) -> None:
        self.counts = Counts()
        self._lock = threading.Lock()
        self._file = path.open("w", encoding="utf-8")

    def add(self, put: Put, *, again: bool) -> None:
        with self._lock:
            self._file.write(json.dumps(dataclasses.asdict(put)) + "\n")
            self._file.flush()
            self.counts.puts_cut += put.status == 0
            self.counts.puts_refused += put.status >= 400
            if put.status == 200 and put.part:
                self.counts.parts_stored += 1
                self.counts.parts_again += again
                self.counts.part_bytes += put.size_bytes

    def close(self) -> None:
        self._file.close()
