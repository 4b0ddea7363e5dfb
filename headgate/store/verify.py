"""Whether everything in a state root can be read: each file's own checks, each block, each journal record."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

from headgate.config.stateroot import StateRoot
from headgate.errors import Fatal, Reject
from headgate.store.compact import Expander
from headgate.store.day_file import day_path, days_in, open_day
from headgate.store.segments import (
    FRAME,
    HEADER,
    RecordKind,
    check_header,
    frames,
    numbers_in,
    offset_of,
    path_of,
)
from headgate.store.windows_file import files_in, open_windows

Tick = Callable[[int, str], None]
"""Told of bytes that were looked at, and what they were of."""


def size_bytes(root: StateRoot) -> int:
    """How much there is to look at."""
    paths = [day_path(root.blocks, day) for day in days_in(root.blocks)]
    paths += [path_of(root.journal, number) for number in numbers_in(root.journal)]
    return sum(path.stat().st_size for path in paths)


def verify(root: StateRoot, tick: Tick) -> Iterator[str]:
    """What is wrong, a sentence each."""
    if root.state_db.exists():
        yield from _database(root.state_db)
    for day in days_in(root.blocks):
        path = day_path(root.blocks, day)
        try:
            yield from _day(path, tick)
        except Reject as error:
            yield str(error)
    for paths in files_in(root.windows).values():
        for path in paths:
            yield from _windows(path)
    numbers = numbers_in(root.journal)
    for number in numbers:
        yield from _segment(path_of(root.journal, number), number, last=number == numbers[-1])
        tick(path_of(root.journal, number).stat().st_size, f"journal/{number}.log")


def _day(path: Path, tick: Tick) -> Iterator[str]:
    with open_day(path) as reader:
        for problem in reader.check():
            yield f"{path}: {problem}"
        reader.want(reader.series())
        left = path.stat().st_size
        for key, _, block_bytes in reader.blocks():
            try:
                reader.lines(key)
            except Reject as error:
                yield str(error)
            left -= block_bytes
            tick(block_bytes, path.name)
        tick(max(0, left), path.name)


def _windows(path: Path) -> Iterator[str]:
    yield from _database(path)
    try:
        with open_windows(path) as reader:
            for _ in reader.buckets():
                pass
    except Reject as error:
        yield str(error)


def _database(path: Path) -> Iterator[str]:
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as db:
            for (problem,) in db.execute("PRAGMA integrity_check(10)"):
                if problem != "ok":
                    yield f"{path}: {problem}"
    except sqlite3.Error as error:
        yield f"{path}: {error}"


def _segment(path: Path, number: int, *, last: bool) -> Iterator[str]:
    data = path.read_bytes()
    try:
        check_header(path, data, number)
    except Fatal as error:
        yield str(error)
        return
    expander, offset = Expander(), HEADER.size
    for record in frames(data, number):
        offset = offset_of(record.end)
        if record.kind in (RecordKind.BATCHES, RecordKind.WAITING):
            try:
                expander.decode(record.payload)
            except Reject as error:
                yield f"{path}: record at byte {offset_of(record.position)}: {error}"
    if any(data[offset : offset + FRAME.size]):
        what = "a torn write, which the hub cuts off" if last else "damaged; what follows is lost"
        yield f"{path}: at byte {offset}: {what}"
