"""What was written and synced, and what a disk may hold after the power is cut at any moment of it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from headgate.store.files import Disk

SECTOR = 512
MODES = ("nothing", "everything", "writes", "sectors", "sectors")
"""What of the unsynced reaches the disk: none, all, some of the writes, some sectors of the writes."""


@dataclass(frozen=True, slots=True)
class Op:
    """One thing that was done. `mark`: no write, but a word about what is promised from here on."""

    what: str
    path: Path = field(default_factory=Path)
    offset: int = 0
    data: bytes = b""
    mark: object = None


class Trace:
    """Grows by what a process does to files below `root`."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.ops: list[Op] = []

    def add(self, what: str, path: Path, offset: int = 0, data: bytes = b"") -> None:
        """Note an operation: create, write, truncate (to `offset`), sync, unlink or sync_directory."""
        self.ops.append(Op(what, path.relative_to(self._root), offset, data))

    def mark(self, mark: object) -> None:
        """Note a promise."""
        self.ops.append(Op("mark", mark=mark))


class RecordingDisk(Disk):
    """The journal's files."""

    def __init__(self, trace: Trace) -> None:
        self._trace = trace
        self._paths: dict[int, Path] = {}

    def create(self, path: Path) -> int:
        fd = super().create(path)
        self._paths[fd] = path
        self._trace.add("create", path)
        return fd

    def open(self, path: Path) -> int:
        fd = super().open(path)
        self._paths[fd] = path
        return fd

    def write(self, fd: int, data: bytes | bytearray, offset_bytes: int) -> None:
        super().write(fd, data, offset_bytes)
        self._trace.add("write", self._paths[fd], offset_bytes, bytes(data))

    def sync(self, fd: int) -> None:
        super().sync(fd)
        self._trace.add("sync", self._paths[fd])

    def sync_directory(self, path: Path) -> None:
        super().sync_directory(path)
        self._trace.add("sync_directory", path)

    def unlink(self, path: Path) -> None:
        super().unlink(path)
        self._trace.add("unlink", path)


@dataclass(slots=True)
class _File:
    """What is surely on the disk, and what was done to it since."""

    durable: bytes = b""
    pending: list[Op] = field(default_factory=list)

    def now(self) -> bytes:
        found = bytearray(self.durable)
        for op in self.pending:
            _apply(found, op)
        return bytes(found)

    def after(self, mode: str, rng: random.Random) -> bytes:
        """What may be there after a cut."""
        if mode == "nothing":
            return self.durable
        if mode == "everything":
            return self.now()
        found = bytearray(self.durable)
        if mode == "writes":
            for op in self.pending:
                if rng.random() < 0.5:
                    _apply(found, op)
            return bytes(found)
        keep = rng.random()
        for op in self.pending:
            if op.what == "truncate":
                if rng.random() < keep:
                    _apply(found, op)
                continue
            # From one sector's edge to the next: each of them is written whole or not at all.
            start, end = op.offset, op.offset + len(op.data)
            while start < end:
                stop = min(end, (start // SECTOR + 1) * SECTOR)
                if rng.random() < keep:
                    part = op.data[start - op.offset : stop - op.offset]
                    _apply(found, Op("write", op.path, start, part))
                start = stop
        return bytes(found)


def _apply(content: bytearray, op: Op) -> None:
    size = op.offset if op.what == "truncate" else op.offset + len(op.data)
    if len(content) < size:
        content.extend(bytes(size - len(content)))
    if op.what == "truncate":
        del content[size:]
    else:
        content[op.offset : size] = op.data


class Power:
    """Plays a trace; may be cut after each operation. Names become durable in their order."""

    def __init__(self) -> None:
        self.marks: list[object] = []
        self._names: dict[Path, _File] = {}
        self._durable_names: dict[Path, _File] = {}
        self._pending_names: list[tuple[Path, _File | None]] = []

    def play(self, op: Op) -> None:
        """One operation more."""
        match op.what:
            case "mark":
                self.marks.append(op.mark)
            case "create":
                self._rename(op.path, _File())
            case "unlink":
                if op.path in self._names:
                    self._rename(op.path, None)
            case "sync":
                file = self._names[op.path]
                file.durable, file.pending = file.now(), []
            case "sync_directory":
                for path, file_or_none in self._pending_names:
                    _bind(self._durable_names, path, file_or_none)
                self._pending_names.clear()
            case _:
                self._names[op.path].pending.append(op)

    def cut(self, mode: str, rng: random.Random, folder: Path) -> None:
        """Write what may be on the disk now to `folder`."""
        names = dict(self._durable_names)
        count = {"nothing": 0, "everything": len(self._pending_names)}.get(mode)
        upto = rng.randint(0, len(self._pending_names)) if count is None else count
        for path, file in self._pending_names[:upto]:
            _bind(names, path, file)
        for path, present in names.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(present.after(mode, rng))

    def _rename(self, path: Path, file: _File | None) -> None:
        _bind(self._names, path, file)
        self._pending_names.append((path, file))


def _bind(names: dict[Path, _File], path: Path, file: _File | None) -> None:
    if file is None:
        names.pop(path, None)
    else:
        names[path] = file


def images(
    ops: Sequence[Op], count: int, seed: int, folder: Path
) -> Iterator[tuple[str, Path, list[object]]]:
    """`count` disks after cuts at places spread over the trace: a name, its folder, what was promised."""
    rng = random.Random(seed)
    cuts = sorted(rng.choices(range(1, len(ops) + 1), k=count))
    power, played = Power(), 0
    for number, at in enumerate(cuts):
        for op in ops[played:at]:
            power.play(op)
        played = at
        mode = MODES[number % len(MODES)]
        image = folder / f"image-{number}"
        power.cut(mode, rng, image)
        yield (
            f"cut behind operation {at} ({ops[at - 1].what} {ops[at - 1].path}), {mode} kept",
            image,
            list(power.marks),
        )
