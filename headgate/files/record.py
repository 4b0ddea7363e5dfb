"""What a file's upload has come to, durably: a few lines of JSON per file, each synced before it counts.

Lines: `want` (first), `plan`, `upload` (with the parts that S3 holds), `part` (each finished one), `end`.
A torn last line is what a crash left of a write that nobody relied on.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from headgate.config.stateroot import MODE, sync_directory, write_atomically
from headgate.errors import Reject
from headgate.files.folder import Fingerprint
from headgate.files.plan import Plan
from headgate.files.transfer import End, State

KEEP_ENDED = 1_000
"""Uploads that ended are known by their id so long, to be answered at once when asked for again."""
SUFFIX = ".jsonl"


@dataclass(frozen=True, slots=True)
class Want:
    """The file that was asked for."""

    file_id: str
    source: str
    path: str
    mark: Fingerprint


class Record:
    """One file's. Used by one task at a time; every method but the properties writes, raising OSError."""

    def __init__(self, path: Path, want: Want) -> None:
        self.want = want
        self.plan: Plan | None = None
        self.upload_id = ""
        self.done: set[int] = set()
        self.end: End | None = None
        self._path = path

    @classmethod
    def begin(cls, folder: Path, want: Want) -> Record:
        """A new record, in place of what was known of an earlier try."""
        record = cls(folder / f"{want.file_id}{SUFFIX}", want)
        write_atomically(record._path, _line("want", asdict(want)))
        return record

    @classmethod
    def load(cls, path: Path) -> Record:
        """Read a record. Raises Reject where not even its first line is whole, or OSError."""
        lines, whole_bytes = _whole_lines(path.read_bytes())
        if not lines or "want" not in lines[0]:
            raise Reject(f"{path}: not a record of an upload")
        try:
            want = lines[0]["want"]
            record = cls(path, Want(**{**want, "mark": Fingerprint(**want["mark"])}))
            for line in lines[1:]:
                record._replay(line)
        except (TypeError, KeyError, ValueError) as error:
            raise Reject(f"{path}: not a record of an upload: {error}") from error
        if path.stat().st_size > whole_bytes:
            os.truncate(path, whole_bytes)
        return record

    def planned(self, plan: Plan) -> None:
        """The file was hashed."""
        self.plan, self.upload_id, self.done = plan, "", set()
        self._append("plan", {"part_bytes": plan.part_bytes, "checksums": plan.checksums})

    def uploading(self, upload_id: str, done: Iterable[int]) -> None:
        """The upload in force, and its parts that S3 holds."""
        if (upload_id, set(done)) != (self.upload_id, self.done):
            self.upload_id, self.done = upload_id, set(done)
            self._append("upload", {"id": upload_id, "done": sorted(self.done)})

    def part(self, number: int) -> None:
        """A part is finished."""
        self.done.add(number)
        self._append("part", number)

    def ended(self, end: End) -> None:
        """It is over; of the parts nothing is kept."""
        write_atomically(self._path, _line("want", asdict(self.want)) + _line("end", asdict(end)))
        self.end = end

    def _append(self, kind: str, value: object) -> None:
        with self._path.open("ab") as file:
            file.write(_line(kind, value))
            file.flush()
            os.fsync(file.fileno())

    def _replay(self, line: Mapping[str, Any]) -> None:
        match line:
            case {"plan": {"part_bytes": part_bytes, "checksums": checksums}}:
                want = self.want
                self.plan = Plan(want.file_id, want.mark.size_bytes, part_bytes, tuple(checksums))
                self.upload_id, self.done = "", set()
            case {"upload": {"id": upload_id, "done": done}}:
                self.upload_id, self.done = str(upload_id), set(done)
            case {"part": int(number)}:
                self.done.add(number)
            case {"end": end}:
                self.end = End(**end)
                if self.end.state not in get_args(State):
                    raise ValueError(f"unknown state {self.end.state!r}")
            case _:
                raise ValueError(f"unknown line {str(line)[:80]}")


def load_all(folder: Path) -> tuple[list[Record], list[str]]:
    """Every record, oldest first, and what could not be read (and was removed). Raises OSError."""
    folder.mkdir(mode=MODE, parents=True, exist_ok=True)
    for left in folder.glob(f".*{SUFFIX}.*.tmp"):
        left.unlink(missing_ok=True)
    records, faults = [], []
    paths = sorted(folder.glob(f"*{SUFFIX}"), key=lambda path: (path.stat().st_mtime_ns, path.name))
    for path in paths:
        try:
            records.append(Record.load(path))
        except Reject as error:
            faults.append(str(error))
            path.unlink()
    ended = [record for record in records if record.end is not None]
    for record in ended[: max(0, len(ended) - KEEP_ENDED)]:
        forget(record)
        records.remove(record)
    return records, faults


def forget(record: Record) -> None:
    """Remove a record that nobody needs any more."""
    with contextlib.suppress(FileNotFoundError):
        record._path.unlink()
        sync_directory(record._path.parent)


def _line(kind: str, value: object) -> bytes:
    return json.dumps({kind: value}, separators=(",", ":")).encode() + b"\n"


def _whole_lines(data: bytes) -> tuple[list[dict[str, Any]], int]:
    """What can be read from the front, and how many bytes that is."""
    found: list[dict[str, Any]] = []
    whole_bytes = 0
    for line in data.splitlines(keepends=True):
        try:
            value = json.loads(line) if line.endswith(b"\n") else None
        except ValueError:
            value = None
        if not isinstance(value, dict):
            break
        found.append(value)
        whole_bytes += len(line)
    return found, whole_bytes
