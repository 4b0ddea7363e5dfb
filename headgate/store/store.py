"""The store: one transaction over journal and state, recovery by replay, and reads of what is held.

Everything here runs in the store's one writer thread (`headgate.store.writer`) and blocks while disks do.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path

import numpy as np

from headgate.columns import Columns, picked
from headgate.config.stateroot import StateRoot, sync_directory
from headgate.errors import Fatal
from headgate.model import Ack, Batch, Envelope, EnvelopeId, Series, Value, dictionary_hash
from headgate.store import compact
from headgate.store.alarm_rows import AlarmRows
from headgate.store.arrays import Shape
from headgate.store.blocks import Blocks
from headgate.store.boots import BootRow
from headgate.store.day_file import DAY_MS
from headgate.store.days import Days
from headgate.store.doubted import Range
from headgate.store.downsample import Bucket
from headgate.store.files import Disk
from headgate.store.head import MAX_SHAPES, Head
from headgate.store.journal import SEGMENT_BYTES, Journal
from headgate.store.lock import RootLock
from headgate.store.opening import mend
from headgate.store.quarantine import Note
from headgate.store.query import Column, newest, query
from headgate.store.replay import Journaled, replayed
from headgate.store.requests import RequestRows
from headgate.store.segments import RecordKind, segment_of, start_of_segment
from headgate.store.shed_rows import Candidate, Leaving
from headgate.store.state import EVERYTHING, LedgerRow, OutboxPart, Progress, Queued, State, table_text
from headgate.store.tables import save_table
from headgate.store.windows_file import newest_through

RECORD_BATCHES = 256
"""Batches of one journal record: about 1.8 MB as they came."""

log = logging.getLogger(__name__)

Previous = tuple[int, int]
"""(epoch, last seq) of the epoch before."""
Seal = Callable[[EnvelopeId, Previous | None], bytes]
"""Makes an envelope's bytes once its id is known. The second argument counts with seq 1 only."""


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
            self._opened = opened.pop_all()
        self._damaged: dict[int, str] = {}
        self._runs = self.state.runs()
        self._fresh_runs: dict[tuple[str, int], int] = {}
        self._ends = self.state.stream_ends()
        self._seqs: dict[str, int] = {}
        self._fresh_ids = dict(self.opening.ids)
        self._newest_id = max(self._ids.values(), default=0)
        self._days: list[int] = []
        self._tables = self.state.dictionaries()
        self._fresh_tables: dict[bytes, tuple[Series, ...]] = {}
        self._head = Head(self.journal.end)
        self._replayed_end = self.journal.end
        self._compactor = compact.Compactor(self._decimals)
        self._compacted_segment = 0
        self._numbered: dict[int, Shape] = {}
        self._outbox_count, self._outbox_bytes = self.state.outbox_size()
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


class Tx:
    """What one transaction does. The journal is synced before state.db commits."""

    def __init__(self, store: Store, state: ExitStack) -> None:
        self.wrote_state = False
        self.appended: list[Journaled] = []
        self._store = store
        self._stack = state

    def append(self, batch: Batch, wire: bytes, *, waiting: bool = False) -> Journaled | None:
        """Journal a batch; None when its key (bridge, run_id, seq) is held already.

        `wire`, the bytes that it came as, is not kept: the journal's own form is smaller. `waiting`: for
        its UTC; once that is known, `append_again`.
        """
        store = self._store
        if batch.seq <= store._runs.get((batch.bridge, batch.run_id), 0):
            return None
        store._advance(batch)
        self.appended.append(Journaled(batch, waiting=waiting))
        return self.appended[-1]

    def append_again(self, batch: Batch) -> Journaled:
        """Journal a batch that waited, with its UTC."""
        self.appended.append(Journaled(batch))
        return self.appended[-1]

    def boots(self, rows: Iterable[BootRow]) -> None:
        """What is known of UTC in these boots of the machine."""
        self._state()
        self._store.state.boots.put(rows)

    def add_table(self, table: tuple[Series, ...]) -> None:
        """Journal a series table, so that the batches behind it can be read with the journal alone."""
        key = dictionary_hash(table)
        if key not in self._store._tables:
            self._store.journal.append(RecordKind.DICTIONARY, table_text(table).encode())
            self._store._learn(key, table)

    def enqueue(
        self, stream: str, schema: int, seal: Seal, samples: int, *, live: bool, sealed_ms: int
    ) -> Queued:
        """Give an envelope its id, seal it, and put it into the outbox."""
        self._state()
        key, previous = self._store._next_id(stream)
        envelope = Envelope(key, schema, seal(key, previous), samples, live)
        row = self._store.state.insert(envelope, sealed_ms)
        self._store._outbox_count += 1
        self._store._outbox_bytes += len(envelope.body)
        return Queued(row, sealed_ms, envelope)

    def add_schemas(self, pages: Iterable[tuple[bytes, Sequence[Series]]]) -> None:
        """Keep the schemas of codec compact that envelopes refer to from now on."""
        for key, rows in pages:
            self._state()
            self._store.state.put_schema(key, rows)

    def acknowledge(self, ack: Ack) -> int:
        """Delete what the cloud holds; returns how many envelopes."""
        self._state()
        count, size_bytes = self._store.state.delete_acknowledged(ack)
        self._store._outbox_count -= count
        self._store._outbox_bytes -= size_bytes
        return count

    def consumed(self, *, packed: int, replay: int, window_length_ms: int) -> None:
        """Everything before `packed` is in envelopes, and nothing before `replay` is needed again."""
        self._state()
        self._store._progress = replace(
            self._store._progress, packed=packed, replay=replay, window_length_ms=window_length_ms
        )

    def windows_closed(self, closed: Mapping[tuple[str, int], int]) -> None:
        """Until when (UTC ms) the windows of each (bridge, length_ms) are closed."""
        self._state()
        self._store.state.put_windows_closed(closed)

    def look_fresh(self, changed: Mapping[tuple[str, bytes], bytes | None]) -> None:
        """By bridge and table, a byte for each series: 1 where its last sample was not bad; None: no more."""
        self._state()
        self._store.state.put_fresh(changed)

    def book(self, rows: Sequence[LedgerRow], before_day: int, notes: Mapping[str, int]) -> None:
        """Lines of the ledger, older days dropped, and numbers to keep by name."""
        self._state()
        self._store.state.put_ledger(rows, before_day)
        self._store.state.put_numbers(notes)

    def doubted(self, ranges: Iterable[Range]) -> None:
        """Where samples of uncertain time may lie."""
        self._state()
        self._store.state.doubted.put(ranges)

    def told(self, notes: Sequence[Note]) -> None:
        """Reports of these files set aside are in envelopes of this transaction."""
        self._state()
        self._store.state.put_told(note.id for note in notes)

    def leave(self, file: Leaving, day: int | None = None) -> None:
        """Decide that a file goes, of a `day` its raw samples; call `Store.removed` once this is durable."""
        self._state()
        self._store.state.shed.leave(file)
        if day is not None:
            through = self._store._through(day)
            self._store.state.shed.add_day(day, through)
            self._store._shed_days[day] = through

    def shed(self, envelopes: Sequence[Candidate]) -> None:
        """Take envelopes out of the outbox that the cloud does not have."""
        self._state()
        self._store.state.shed.delete([one.row for one in envelopes])
        self._store._outbox_count -= len(envelopes)
        self._store._outbox_bytes -= sum(one.size_bytes for one in envelopes)

    def requests(self) -> RequestRows:
        """What was asked, to be changed within this transaction."""
        self._state()
        return self._store.state.requests

    def alarms(self) -> AlarmRows:
        """States of alarms and what their events left to do, to be changed within this transaction."""
        self._state()
        return self._store.state.alarms

    def _state(self) -> None:
        if not self.wrote_state:
            self._stack.enter_context(self._store.state.transaction())
            self.wrote_state = True
