"""A state root that nobody writes, such as a copy from the field: what is sealed, and what is in its journal.

Nothing is changed, but that SQLite may finish its own write-ahead logs beside the copied files.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Collection, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import numpy as np

from headgate import columns as columns_of
from headgate.columns import Columns, picked
from headgate.config.stateroot import StateRoot
from headgate.errors import Fatal, Reject
from headgate.model import Series, dictionary_hash
from headgate.store.arrays import Line, line_of
from headgate.store.blocks import settle
from headgate.store.day_file import DAY_MS, day_path, days_in, open_day
from headgate.store.days import Days
from headgate.store.downsample import Bucket
from headgate.store.head import Head
from headgate.store.query import lines, newest
from headgate.store.replay import replayed
from headgate.store.segments import numbers_in, records, start_of_segment
from headgate.store.state import VERSION, table_from_rows
from headgate.store.windows_file import open_windows, standing
from headgate.timeline import Timeline

log = logging.getLogger(__name__)
_ALL = 1 << 62


@dataclass(frozen=True, slots=True)
class Kept:
    """What `state.db` says: positions in the journal, tables of series, and what waits to be sent."""

    positions: dict[str, int] = field(default_factory=dict)
    tables: dict[bytes, tuple[Series, ...]] = field(default_factory=dict)
    envelopes: int = 0
    envelope_bytes: int = 0


class Copy:
    """Everything of one state root. Raises Reject where there is none, or a file cannot be read."""

    def __init__(self, root: StateRoot) -> None:
        if not (root.blocks.is_dir() or root.journal.is_dir()):
            raise Reject(f"{root.path} is no state root: it has neither blocks/ nor journal/")
        self.root = root
        with suppress(Fatal):  # where nothing can be written, what needs no settling is read
            settle(root.blocks)
        self.kept = read_state(root)
        self.days = days_in(root.blocks)
        self._through = {day: self._through_of(day) for day in self.days}
        self._head = Head(_ALL)
        self.unsealed = 0
        self._replay()
        self._snapshot = self._head.snapshot()

    def series(self, patterns: Collection[str] = ("*",)) -> list[Series]:
        """The series whose names fit any of these patterns (as a shell's), by name and revision."""
        waiting = self._snapshot.stretches(lambda _: True)
        found = {series for stretch in waiting for series in stretch.shape.series}
        for day in self.days:
            with open_day(day_path(self.root.blocks, day)) as reader:
                found |= set(reader.series().values())
        for paths in standing(self.root.blocks, self.root.windows).values():
            for path in paths:
                with open_windows(path) as kept:
                    found |= {gone.series for gone in kept.gone()}
        fitting = [one for one in found if any(fnmatchcase(one.name, pattern) for pattern in patterns)]
        return sorted(fitting, key=lambda one: (one.name, one.revision))

    def lines(
        self, names: Collection[str], from_ms: int, to_ms: int, *, newest_first: bool = False
    ) -> Iterator[Line]:
        """See `headgate.store.query.lines`."""
        return lines(self.root.blocks, self._snapshot, names, from_ms, to_ms, newest_first=newest_first)

    def buckets(
        self, names: Collection[str], from_ms: int, to_ms: int, step_ms: int, *, newest_first: bool = False
    ) -> Iterator[tuple[Series, list[Bucket]]]:
        """See `headgate.store.store.Store.downsampled`."""
        days = Days(self.root.blocks, self.root.windows, self._snapshot, names)
        return days.buckets(from_ms, to_ms, step_ms, newest_first=newest_first)

    def shed_days(self, from_ms: int = 0, to_ms: int = 1 << 52) -> list[int]:
        """The days of which windows are left in place of raw samples."""
        return [
            day
            for day in standing(self.root.blocks, self.root.windows)
            if day * DAY_MS < to_ms and (day + 1) * DAY_MS > from_ms
        ]

    def newest(self, series: Collection[Series]) -> Iterator[Line]:
        """The newest sample of each name."""
        found = newest(self.root.blocks, self._snapshot, {one.name for one in series})
        for one, t_ms, value, code in found.values():
            yield line_of(one, np.array([t_ms], np.int64), [value], np.array([code], np.uint8))

    def count(self, names: Collection[str], from_ms: int, to_ms: int) -> int:
        """About how many samples `lines` will find, for telling how far it is."""
        total = 0
        for day in self.days:
            if day * DAY_MS < to_ms and (day + 1) * DAY_MS > from_ms:
                with open_day(day_path(self.root.blocks, day)) as reader:
                    total += sum(found.samples for found in reader.find(names, from_ms, to_ms, _ALL))
        return total

    def _through_of(self, day: int) -> int:
        with open_day(day_path(self.root.blocks, day)) as reader:
            return reader.through()

    def _replay(self) -> None:
        """Take what the journal has and no day file."""
        tables = dict(self.kept.tables)

        def learn(table: tuple[Series, ...]) -> None:
            tables[dictionary_hash(table)] = table

        start = self.kept.positions.get("replay", 0)
        segments = numbers_in(self.root.journal)
        waiting = Timeline()
        for item in replayed(records(self.root.journal, segments, start_of_segment(start)), start, learn):
            if item.waiting:
                waiting.wait(item.batch, item.position)
                continue
            waiting.came(item.batch)
            if item.position < self.kept.positions.get("blocks", 0):
                continue
            table = tables.get(item.batch.dictionary)
            try:
                if table is None:
                    raise Reject(f"dictionary {item.batch.dictionary.hex()} is in no record")
                groups, _ = columns_of.from_batch(item.batch, table)
            except Reject as error:
                log.error("journal: batch at %d passed over: %s", item.position, error)
                continue
            for group in groups:
                self._keep(item.position, group)
        if waiting.batches:
            log.warning("journal: %d batches wait for the gateway's clock to be set", waiting.batches)

    def _keep(self, position: int, group: Columns) -> None:
        rows = [i for i, t in enumerate(group.times_ms) if position >= self._through.get(t // DAY_MS, 0)]
        if rows:
            self.unsealed += len(rows) * len(group.series)
            self._head.add(position, self._head.shape(group.series), picked(group, rows))


def read_state(root: StateRoot) -> Kept:
    """What `state.db` holds; nothing where there is none. Raises Reject where it cannot be read."""
    if not root.state_db.exists():
        return Kept()
    try:
        with closing(sqlite3.connect(f"{root.state_db.resolve().as_uri()}?mode=ro", uri=True)) as db:
            version = db.execute("PRAGMA user_version").fetchone()[0]
            if version != VERSION:
                raise Reject(f"{root.state_db} is of version {version}, this reads {VERSION}")
            positions = dict(db.execute("SELECT key, value FROM meta"))
            rows = db.execute("SELECT hash, rows FROM dictionaries").fetchall()
            count, size_bytes = db.execute("SELECT count(*), total(length(body)) FROM outbox").fetchone()
    except sqlite3.Error as error:
        raise Reject(f"{root.state_db}: {error}") from error
    tables = {key: table_from_rows(json.loads(text)) for key, text in rows}
    return Kept(positions, tables, count, int(size_bytes))
