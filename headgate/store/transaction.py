"""What one transaction of the store does, a method for each."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING

from headgate.model import Ack, Batch, Envelope, EnvelopeId, Series, dictionary_hash
from headgate.store.alarm_rows import AlarmRows
from headgate.store.boots import BootRow
from headgate.store.doubted import Range
from headgate.store.quarantine import Note
from headgate.store.replay import Journaled
from headgate.store.requests import RequestRows
from headgate.store.segments import RecordKind
from headgate.store.shed_rows import Candidate, Leaving
from headgate.store.state import LedgerRow, Queued, table_text

if TYPE_CHECKING:
    from headgate.store.store import Store

Previous = tuple[int, int]
"""(epoch, last seq) of the epoch before."""
Seal = Callable[[EnvelopeId, Previous | None], bytes]
"""Makes an envelope's bytes once its id is known. The second argument counts with seq 1 only."""


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
