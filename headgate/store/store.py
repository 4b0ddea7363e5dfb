"""The store: one transaction over journal and state, recovery by replay, and reads of what is held.

Everything here runs in the store's one writer thread (`headgate.store.writer`) and blocks while disks do.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from headgate.columns import Columns, picked
from headgate.config.stateroot import StateRoot, sync_directory
from headgate.errors import Fatal
from headgate.model import Batch, Envelope, EnvelopeId, Series, Value, dictionary_hash
from headgate.store import compact
from headgate.store.arrays import Shape
from headgate.store.blocks import Blocks
from headgate.store.day_file import DAY_MS
from headgate.store.days import Days
from headgate.store.downsample import Bucket
from headgate.store.files import Disk
from headgate.store.head import MAX_SHAPES, Head
from headgate.store.journal import SEGMENT_BYTES, Journal
from headgate.store.lock import RootLock
from headgate.store.opening import mend
from headgate.store.query import Column, newest, query
from headgate.store.replay import Journaled, replayed
from headgate.store.segments import RecordKind, segment_of, start_of_segment
from headgate.store.shed_rows import Leaving
from headgate.store.state import EVERYTHING, OutboxPart, Progress, Queued, State
from headgate.store.tables import save_table
from headgate.store.transaction import Previous, Tx
from headgate.store.windows_file import newest_through, standing

RECORD_BATCHES = 256
"""Batches of one journal record: about 1.8 MB as they came."""

log = logging.getLogger(__name__)


class Store:
    """The one writer of a state root. A transaction that fails leaves a store that must be opened again.

    Raises Fatal when another process holds the root, and for files of a newer version.
    """

    def __init__(
        self,
        root: StateRoot,
        thing: str,
        epoch: int,
        *,
        segment_bytes: int = SEGMENT_BYTES,
        disk: Disk | None = None,
    ) -> None:
        self._root = root.path
        self._state_root = root
        self._windows = root.windows
        self._thing = thing
        self._epoch = epoch
        self._broken = False
        root.create()
        with ExitStack() as opened:
            self._lock = RootLock(root.lock)
            opened.callback(self._lock.close)
            self.opening = mend(root, thing)
            self.state = State(root.state_db, thing)
            opened.callback(self.state.close)
            for file in self.state.shed.leaving():  # decided before a crash
                self._remove(file)
            for part in root.windows.glob("*.part"):
                part.unlink()
            self._shed_days = self.state.shed.days()
            self._progress = self.state.progress()
            self._ids = self.state.series_ids() | self.opening.ids
            self._blocks = Blocks(root.blocks, self._ids)
            opened.callback(self._blocks.close)
            progress = self._progress
            needed = max(progress.packed, progress.blocks, self._blocks.newest_through())
            if not progress.packed:  # state.db may be lost, and the raw samples of all days shed
                needed = max(needed, newest_through(root.windows))
            self.journal = Journal(root.journal, segment_bytes=segment_bytes, at_least=needed, disk=disk)
            opened.callback(self.journal.close)
            if self.opening.again:  # each file says itself what it holds
                self._progress = replace(progress, blocks=progress.replay)
            self._runs, self._ends = self.state.runs(), self.state.stream_ends()
            self._tables = self.state.dictionaries()
            self._outbox_count, self._outbox_bytes = self.state.outbox_size()
            self._opened = opened.pop_all()  # nothing below can fail: a lock left behind would keep us out
        self._damaged: dict[int, str] = {}
        self._fresh_runs: dict[tuple[str, int], int] = {}
        self._seqs: dict[str, int] = {}
        self._fresh_ids = dict(self.opening.ids)
        self._newest_id = max(self._ids.values(), default=0)
        self._days: list[int] = []
        self._fresh_tables: dict[bytes, tuple[Series, ...]] = {}
        self._head = Head(self.journal.end)
        self._replayed_end = self.journal.end
        self._compactor = compact.Compactor(self._decimals)
        self._compacted_segment = 0
        self._numbered: dict[int, Shape] = {}
        self._numbers: Mapping[str, int] = {}

    def close(self) -> None:
        """Close all files and release the root; what is in no finished transaction is dropped."""
        self._opened.close()

    @property
    def root(self) -> Path:
        """The state root's folder."""
        return self._root

    @property
    def progress(self) -> Progress:
        """What has been consumed of the journal."""
        return self._progress

    @property
    def outbox(self) -> tuple[int, int]:
        """How many envelopes wait, and their bytes."""
        return self._outbox_count, self._outbox_bytes

    @property
    def unsealed_samples(self) -> int:
        """Samples that wait in memory to become blocks."""
        return self._head.samples

    @property
    def unsaved_ids(self) -> bool:
        """Whether series are new whose ids the next transaction makes durable; no blocks before it."""
        return bool(self._fresh_ids)

    def runs(self) -> dict[tuple[str, int], int]:
        """Up to which seq each (bridge, run_id) is held."""
        return dict(self._runs)

    def tables(self) -> dict[bytes, tuple[Series, ...]]:
        """Every series table that is held, by content hash."""
        return dict(self._tables)

    def table(self, key: bytes) -> tuple[Series, ...] | None:
        """The series table with that content hash."""
        return self._tables.get(key)

    @contextmanager
    def begin(self) -> Iterator[Tx]:
        """A transaction; what it did is durable once this context is left without an error."""
        if self._broken:
            raise Fatal("the store failed in an earlier transaction; it must be opened again")
        self._broken = True
        try:
            yield from self._transaction()
        except (OSError, sqlite3.Error) as error:
            raise Fatal(f"state root {self._root}: {error}; is the disk full, or failing?") from error
        self._broken = False

    def _transaction(self) -> Iterator[Tx]:
        with ExitStack() as state:
            tx = Tx(self, state)
            yield tx
            self._append(tx.appended)
            if self.journal.buffered:
                self.journal.sync()
            if tx.wrote_state:
                self._write_fresh()
        if tx.wrote_state:
            self._fresh_runs.clear()
            self._fresh_ids.clear()
            self._fresh_tables.clear()
            self.journal.drop_before(self._progress.replay)

    def replay(self) -> Iterator[Journaled]:
        """Every batch from `progress.replay` on; fills in the tables and runs that state.db lacks."""
        start = self._progress.replay
        records = self.journal.replay(start_of_segment(start))
        for item in replayed(records, start, lambda table: self._learn(dictionary_hash(table), table)):
            self._advance(item.batch)
            yield item

    def waiting(self, start: int) -> Iterator[Journaled]:
        """The batches that waited from position `start` to the end of the first segment that has any."""
        found = -1
        records = self.journal.replay(start_of_segment(start))
        for item in replayed(records, start, lambda _: None):
            if found >= 0 and segment_of(item.position) != found:
                return
            if item.waiting:
                found = segment_of(item.position)
                yield item

    def keep(self, position: int, columns: Columns) -> None:
        """Hold columns of the batch at `position` until `seal_blocks`; gives new series their ids."""
        shape = self._head.shape(columns.series)
        if id(shape) not in self._numbered:
            for series in shape.series:
                if series not in self._ids:
                    self._newest_id += 1
                    number = self._newest_id
                    self._ids[series] = self._fresh_ids[series] = number
            if len(self._numbered) >= MAX_SHAPES:
                self._numbered.clear()
            self._numbered[id(shape)] = shape
        if position >= self._replayed_end:
            self._head.add(position, shape, columns)
            return
        rows = [i for i, t in enumerate(columns.times_ms) if position >= self._through(t // DAY_MS)]
        if rows:
            self._head.add(position, shape, picked(columns, rows))

    def _through(self, day: int) -> int:
        """The position before which all of a day is in its file, or was and is shed."""
        return max(self._blocks.through(day), self._shed_days.get(day, 0))

    def seal_blocks(self, end: int) -> None:
        """Write everything kept, which is all before the journal position `end`, to the day files.

        The position reaches state.db with the next transaction; until then a replay writes nothing twice.
        """
        if self._fresh_ids:
            raise Fatal("blocks were to be sealed before their series' ids were durable")
        self._blocks.write(self._head.waiting(), end)
        self._head.sealed(end)
        self._progress = replace(self._progress, blocks=end)
        while self._damaged:
            day, _ = self._damaged.popitem()
            self._blocks.forget(day)
            self.opening.mend(self._state_root, day, self._ids)

    def is_whole(self, from_ms: int, to_ms: int) -> bool:
        """Whether no raw samples with from_ms <= t < to_ms were shed."""
        return self._shed_days.keys().isdisjoint(range(from_ms // DAY_MS, -(-to_ms // DAY_MS)))

    def shed_within(self, from_ms: int, to_ms: int) -> list[tuple[int, int]]:
        """The stretches [from, to) of that range of which raw samples were shed. From any thread."""
        found: list[tuple[int, int]] = []
        for day in sorted(self._shed_days.copy()):
            low, high = max(from_ms, day * DAY_MS), min(to_ms, (day + 1) * DAY_MS)
            if low >= high:
                continue
            if found and found[-1][1] == low:
                low = found.pop()[0]
            found.append((low, high))
        return found

    def removed(self, files: Sequence[Leaving]) -> None:
        """Remove files that a durable transaction let go (`Tx.leave`), and note that it is done."""
        try:
            for file in files:
                self._remove(file)
        except OSError as error:  # a file that stays must not take new samples, which would go with it
            raise Fatal(f"state root {self._root}: {error}; it is to be removed") from error

    def trim(self) -> None:
        """Empty the write-ahead logs: their bytes are given back."""
        self.state.shed.trim()
        self._blocks.trim()

    def pending_bytes(self) -> int:
        """By how much files grow once the write-ahead logs are taken into them."""
        return self.state.pending_bytes() + self._blocks.pending_bytes()

    @property
    def blocks(self) -> Blocks:
        """The day files."""
        return self._blocks

    def _remove(self, file: Leaving) -> None:
        """Idempotent; until it is noted nothing else is written: no new file of the name is removed."""
        path = self._root / file.path
        if file.part and (self._root / file.part).exists():
            (self._root / file.part).replace(self._root / file.whole)
            sync_directory(self._windows)
        for log_of in ("", "-wal", "-shm", "-journal"):
            path.with_name(path.name + log_of).unlink(missing_ok=True)
        with suppress(FileNotFoundError):
            sync_directory(path.parent)
        with self.state.transaction():
            self.state.shed.left(file.path)

    # Reads; these may be called from any thread, and wait for no write.

    def query(
        self, names: Collection[str], from_ms: int, to_ms: int, *, newest_first: bool = False
    ) -> Iterator[Column]:
        """Samples with from_ms <= t < to_ms, not yet sealed ones included, a Column per series and slice.

        Slices of time follow each other in the order asked for; each holds a bounded number of samples.
        """
        snapshot = self._head.snapshot()
        return query(
            self._blocks.folder,
            snapshot,
            names,
            from_ms,
            to_ms,
            newest_first=newest_first,
            damaged=self._found_damaged,
        )

    def downsampled(
        self, names: Collection[str], from_ms: int, to_ms: int, step_ms: int, *, newest_first: bool = False
    ) -> Iterator[tuple[Series, list[Bucket]]]:
        """As `query`, in buckets that start at multiples of `step_ms`. Where the raw samples are shed, they
        are put together from windows, and say so (`Bucket.kept_ms`).
        """
        days = Days(self._blocks.folder, self._windows, self._head.snapshot(), names, self._found_damaged)
        return days.buckets(from_ms, to_ms, step_ms, newest_first=newest_first)

    def kept_days(self) -> list[int]:
        """The UTC days (since 1970) of which there are windows, their raw samples being shed; ascending."""
        return sorted(standing(self._blocks.folder, self._windows))

    def newest(self, names: Collection[str]) -> dict[str, tuple[Series, int, Value, int]]:
        """The newest sample of each of these series that has any: (series, UTC ms, value, quality)."""
        return newest(self._blocks.folder, self._head.snapshot(), names, self._found_damaged)

    def series(self) -> list[Series]:
        """Every series of which there was a sample, by name and revision."""
        return sorted(self._ids, key=lambda series: (series.name, series.revision))

    def days(self) -> list[int]:
        """The UTC days (since 1970) of which there may be samples, ascending."""
        waiting = self._head.snapshot().stretches(lambda _: True)
        held = {day for stretch in waiting for day in np.unique(stretch.times_ms // DAY_MS).tolist()}
        return sorted({*self._blocks.days(), *held})

    def pending(self, *, live: bool, limit_bytes: int) -> Sequence[Envelope]:
        """The oldest waiting envelopes, live or not, of together at most `limit_bytes` (at least one)."""
        taken: list[Envelope] = []
        size_bytes = 0
        for item in self.state.queued(0, limit_bytes // 64 + 1, OutboxPart(live=live)):
            size_bytes += len(item.envelope.body)
            if taken and size_bytes > limit_bytes:
                break
            taken.append(item.envelope)
        return taken

    def queued(self, after_row: int, limit: int, part: OutboxPart = EVERYTHING) -> list[Queued]:
        """Waiting envelopes of that part sealed after the one in `after_row`, oldest first."""
        return self.state.queued(after_row, limit, part)

    def remember(self, numbers: Mapping[str, int]) -> None:
        """Keep these numbers with the next transaction of state.db that is made anyway."""
        self._numbers = dict(numbers)

    def _found_damaged(self, day: int, why: str) -> None:
        """What is left of the file takes its place with the next seal; until then it is read around."""
        if day not in self._damaged:
            log.error("%s; it is read around until it is mended", why)
            self._damaged[day] = why

    # For Tx.

    def _append(self, appended: Sequence[Journaled]) -> None:
        """Put batches into the journal, so many to a record, and note where each of them is."""
        for start, end in _runs_of(appended):
            part = appended[start:end]
            kind = RecordKind.WAITING if part[0].waiting else RecordKind.BATCHES
            record = self.journal.append(kind, self._compacted([item.batch for item in part]))
            for i, item in enumerate(part):
                item.position, item.end = record.position + i, record.end

    def _compacted(self, found: Sequence[Batch]) -> bytes:
        """A record that goes on from those before it in the segment that it will go to."""
        if self._compacted_segment == self.journal.segment:
            payload = self._compactor.encode(found)
            if self.journal.fits(payload):
                return payload
            self.journal.roll()
        self._compactor.restart()
        payload = self._compactor.encode(found)
        self._compacted_segment = self.journal.segment + (not self.journal.fits(payload))
        return payload

    def _decimals(self, key: bytes, series: Sequence[int]) -> list[int | None]:
        table = self._tables.get(key, ())
        return [table[i].decimals if i < len(table) else None for i in series]

    def _advance(self, batch: Batch) -> None:
        key = (batch.bridge, batch.run_id)
        up_to = max(self._runs.get(key, 0), batch.seq)
        self._runs[key] = self._fresh_runs[key] = up_to

    def _learn(self, key: bytes, table: tuple[Series, ...]) -> None:
        if key not in self._tables:
            self._tables[key] = self._fresh_tables[key] = table

    def _next_id(self, stream: str) -> tuple[EnvelopeId, Previous | None]:
        seq = self._seqs.get(stream, 0) + 1
        previous = self._ends.get(stream) if seq == 1 else None
        self._seqs[stream] = seq
        self._ends[stream] = (self._epoch, seq)
        return EnvelopeId(self._thing, stream, self._epoch, seq), previous

    def _write_fresh(self) -> None:
        state = self.state
        state.put_runs(self._fresh_runs, self.journal.end)
        state.put_series(self._fresh_ids.items())
        for key, table in self._fresh_tables.items():
            save_table(self._state_root.tables, key, table)
            state.put_dictionary(key, table)
        for stream in self._seqs:
            state.put_stream_end(stream, *self._ends[stream])
        state.put_progress(self._progress)
        state.put_numbers(self._numbers)
        days = [day for day in self._blocks.days() if day not in self._shed_days]  # those may go
        if days != self._days:
            state.put_days(days)
            self._days = days


def _runs_of(appended: Sequence[Journaled]) -> Iterator[tuple[int, int]]:
    """(start, end) of each record: of one kind, and not too many batches."""
    start = 0
    for i in range(1, len(appended) + 1):
        ends = i == len(appended) or appended[i].waiting is not appended[start].waiting
        if ends or i - start == RECORD_BATCHES:
            yield start, i
            start = i
