"""What could not be read, moved to `quarantine/` with a note beside it, until the cloud has been told of it.

A file is replaced in steps that a crash may cut anywhere (docs/store.md, "When a file is broken"): what is
left of it is written beside it as `NAME.mended`; a pending note says what is to happen; the names change.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from headgate.clock import random_id
from headgate.config.stateroot import MODE, StateRoot, sync_directory, write_atomically

MENDED = ".mended"
COMPANIONS = ("-wal", "-shm", "-journal")
"""What SQLite keeps beside a file, of which it is part."""
MAX_WHY_CHARACTERS = 500
_PENDING, _NOTE, _TOLD = ".pending.json", ".note.json", ".told.json"
_NUMBER = re.compile(r"(\d{6,})-")

log = logging.getLogger(__name__)

Lost = Mapping[str, object]
"""What is gone with a file, as far as that is known: JSON."""


@dataclass(frozen=True, slots=True)
class Note:
    """One file that was found damaged or missing. `name`: of what is kept of it in the quarantine, or "";
    `file`: what it was, below the state root.
    """

    id: str
    name: str
    file: str
    size_bytes: int
    why: str
    lost: Lost


class Quarantine:
    """The folder, for the one process that holds the root's lock. Raises OSError as the file system does."""

    def __init__(self, root: StateRoot) -> None:
        self._root = root
        self.folder = root.quarantine

    def settle(self) -> None:
        """Finish or undo what a crash cut; call it before anything of the root is opened."""
        self.folder.mkdir(mode=MODE, parents=True, exist_ok=True)
        for path, note in self._notes(_PENDING):
            if note.name and not (self.folder / note.name).exists():
                path.unlink()  # nothing was moved yet: it is looked at anew
            else:
                self._finish(path, note)
        for folder in (self._root.path, self._root.journal, self._root.blocks):
            for path in folder.glob(f"*{MENDED}*"):
                path.unlink()

    def replace(self, path: Path, why: str, lost: Lost) -> Note:
        """Set a file aside, if it is there, and put what was made as `mended(path)` in its place."""
        name = self._unused(path.name) if path.exists() else ""
        size_bytes = path.stat().st_size if name else 0
        file = path.relative_to(self._root.path).as_posix()
        note = Note(f"{random_id():016x}", name, file, size_bytes, why[:MAX_WHY_CHARACTERS], lost)
        pending = self.folder / ((name or self._unused(path.name)) + _PENDING)
        sync_file(mended(path))
        sync_directory(path.parent)
        _write(pending, note)
        if name:
            path.rename(self.folder / name)
        self._finish(pending, note)
        log.error("%s: %s; lost: %s; %s", path, note.why, json.dumps(lost), _where(self.folder, name))
        return note

    def tell(self, key: str, file: str, why: str, lost: Lost) -> Note | None:
        """Note what has no file to set aside, once per `key`; None where it was noted before."""
        if any(note.id == key for kind in (_NOTE, _TOLD) for _, note in self._notes(kind)):
            return None
        note = Note(key, "", file, 0, why, lost)
        _write(self.folder / (self._unused(Path(file).name) + _NOTE), note)
        log.error("%s: %s; lost: %s", self._root.path / file, why, json.dumps(lost))
        return note

    def untold(self) -> list[Note]:
        """What the cloud has not been told of, oldest first."""
        return [note for _, note in self._notes(_NOTE)]

    def were_told(self, keys: frozenset[str]) -> None:
        """The reports of these are durable."""
        for path, note in self._notes(_NOTE):
            if note.id in keys:
                path.rename(path.with_name(path.name.removesuffix(_NOTE) + _TOLD))

    def _finish(self, pending: Path, note: Note) -> None:
        """What is damaged is out of the way, or was never there."""
        path = self._root.path / note.file
        if mended(path).exists():
            for ending in COMPANIONS:
                beside = path.with_name(path.name + ending)
                if beside.exists():
                    kept = note.name or pending.name.removesuffix(_PENDING)
                    beside.rename(self.folder / (kept + ending))
            sync_directory(self.folder)
            mended(path).rename(path)
        sync_directory(path.parent)
        pending.rename(pending.with_name(pending.name.removesuffix(_PENDING) + _NOTE))
        sync_directory(self.folder)

    def _notes(self, ending: str) -> Iterator[tuple[Path, Note]]:
        for path in sorted(self.folder.glob(f"*{ending}")):
            try:
                found = json.loads(path.read_bytes())
                yield path, Note(**found)
            except (ValueError, TypeError):
                log.error("%s is no note of a file set aside; it is left alone", path)

    def _unused(self, name: str) -> str:
        """Ordered by number, whatever the clock says; the time is this machine's, right or not."""
        found = [int(m[1]) for path in self.folder.iterdir() if (m := _NUMBER.match(path.name))]
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        return f"{max(found, default=0) + 1:06}-{stamp}-{name}"


def mended(path: Path) -> Path:
    """Where what is left of a file is written before it takes its place."""
    return path.with_name(path.name + MENDED)


def fields_of(note: Note) -> dict[str, object]:
    """As it is reported (docs/wire.md)."""
    lost = note.lost if len(json.dumps(note.lost)) <= 2_000 else {"more": True}
    return {
        "file": note.file,
        "kept": note.name,
        "size_bytes": note.size_bytes,
        "why": note.why,
        "lost": lost,
    }


def sync_file(path: Path) -> None:
    """Return once a file's bytes are on the disk."""
    descriptor = os.open(path, os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _write(path: Path, note: Note) -> None:
    write_atomically(path, json.dumps(asdict(note), indent=1).encode())


def _where(folder: Path, name: str) -> str:
    return f"set aside as {folder / name}" if name else "there is nothing to set aside"
