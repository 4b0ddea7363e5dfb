"""The hub's time: batches without UTC wait in the journal until that of their boot is known."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial

from headgate.clock import Clock, machine_boot_id, random_id
from headgate.columns import MAX_UTC_MS
from headgate.envelope import header, reports
from headgate.envelope.header import Part
from headgate.limited_log import LimitedLog
from headgate.model import Batch, ClockState
from headgate.store.replay import Journaled
from headgate.store.state import Queued
from headgate.store.store import RECORD_BATCHES, Store
from headgate.store.transaction import Tx
from headgate.timeline import Boot, Reading, Settled, Timeline, TimeTuning, boot_of

log = logging.getLogger(__name__)

ReadClock = Callable[[], Reading]


def reader_of(clock: Clock) -> ReadClock:
    """Reads the machine's clocks; where the machine names no boot, each start of the hub counts as one."""
    boot = machine_boot_id() or f"{random_id():016x}"

    def read() -> Reading:
        return Reading(boot, clock.boot_ms(), clock.utc_ms(), clock.state())

    return read


class HubTime:
    """Everything here runs in the store's thread. Without `read`, what batches say is all that is known."""

    def __init__(
        self,
        store: Store,
        report: Callable[[Part], None],
        tuning: TimeTuning | None = None,
        read: ReadClock | None = None,
    ) -> None:
        self.tuning = tuning or TimeTuning()
        self._store = store
        self._report = report
        self._read = read
        self._timeline = Timeline(store.state.boots.all(), self.tuning)
        self._now: Reading | None = None
        self._queued: list[Queued] = []
        self._complaints = LimitedLog(log)

    @property
    def synced_ms(self) -> int | None:
        """UTC, as last looked at, if it can be trusted."""
        now = self._now
        return now.utc_ms if now is not None and now.clock is ClockState.SYNCED else None

    @property
    def is_sure(self) -> bool:
        """Whether what was taken in is up to now: the clock is set, and nothing waits."""
        unset = self._now is not None and self._now.clock is ClockState.UNSYNCED
        return not unset and self._timeline.oldest_position is None

    @property
    def boot(self) -> str:
        """The machine's boot; empty where nobody knows."""
        return "" if self._now is None else self._now.boot

    @property
    def oldest_position(self) -> int | None:
        """The journal position from which on a replay brings back every batch that waits."""
        return self._timeline.oldest_position

    def look(self) -> None:
        """Read the clocks; a step is told to the cloud."""
        if self._read is None:
            return
        now = self._read()
        if now.utc_ms > MAX_UTC_MS:
            now = replace(now, clock=ClockState.UNSYNCED)
        self._now = now
        step = self._timeline.observe(now)
        if step is not None:
            log.warning("the clock was set by %+d ms", step.to_offset_ms - step.from_offset_ms)
            fields = {
                "from_offset_ms": step.from_offset_ms,
                "to_offset_ms": step.to_offset_ms,
                "at": step.at_ms,
            }
            self._tell_cloud("clock_step", fields)

    def replayed(self, item: Journaled) -> bool:
        """Take note of a batch out of the journal, at start; returns whether it is to be taken in."""
        if item.waiting:
            self._timeline.wait(item.batch, item.position)
        else:
            self._timeline.came(item.batch)
        return not item.waiting

    def append(self, tx: Tx, batch: Batch, wire: bytes) -> Journaled | None:
        """Journal a batch that came, with its UTC or waiting for it; None when it is held already."""
        if self._timeline.waits(batch):
            item = tx.append(batch, wire, waiting=True)
            if item is not None:
                if batch.clock is ClockState.UNSYNCED:
                    self._complaints.warning("waits", "the clock is not set: samples wait in the journal")
                self._timeline.wait(batch, self._store.journal.end)  # or behind it, once the transaction ends
            return item
        return tx.append(self._placed(batch), wire)

    def release(self) -> Iterator[Sequence[Journaled]]:
        """Journal again, with their UTC, batches that need not wait any more, in their order: of each boot at
        most those of one segment. What is given is durable, and is to be taken in before the next.
        """
        settled = self._timeline.settle(self._now)
        if settled:
            rows = self._timeline.unsaved()
            with self._store.begin() as tx:  # first, so that after a crash all of a boot get the same offset
                tx.boots(rows.items())
                queued = [self._enqueued(tx, each) for each in settled]  # with it, or nobody would be told
            self._timeline.were_saved(rows)
            self._queued += queued
        for boot, position in self._timeline.ready():
            yield from self._released(boot, position)

    def take_queued(self) -> list[Queued]:
        """The reports that became durable since the last call, to be published."""
        queued, self._queued = self._queued, []
        return queued

    def unsaved(self) -> dict[str, Boot]:
        """What was learnt of boots and is not in state.db; see `were_saved`."""
        return self._timeline.unsaved()

    def were_saved(self, rows: dict[str, Boot]) -> None:
        """These are durable."""
        self._timeline.were_saved(rows)

    def _released(self, boot: str, position: int) -> Iterator[Sequence[Journaled]]:
        part: list[Batch] = []
        end = position
        for item in self._store.waiting(position):
            end = item.position + 1
            if boot_of(item.batch) == boot and self._timeline.is_waiting(item.batch):
                part.append(item.batch)
                if len(part) == RECORD_BATCHES:
                    yield self._again(part)
                    self._timeline.looked(boot, end)
                    part = []
        if part:
            yield self._again(part)
        self._timeline.looked(boot, end)

    def _again(self, part: Sequence[Batch]) -> list[Journaled]:
        with self._store.begin() as tx:
            found = [tx.append_again(self._placed(batch)) for batch in part]
        for item in found:
            self._timeline.came(item.batch)
        return found

    def _placed(self, batch: Batch) -> Batch:
        placed, doubted = self._timeline.placed(batch, self._now)
        if doubted:
            why = "its clock is ahead of the gateway's"
            times = [frame.boot_ms + placed.utc_offset_ms for frame in placed.frames]
            self._complaints.warning(
                f"{batch.bridge} ahead", "bridge %s: %s: time uncertain", batch.bridge, why
            )
            fields = {"boot": boot_of(batch), "from": min(times), "to": max(times), "batches": 1, "why": why}
            self._tell_cloud("time_uncertain", fields)
        return placed

    def _enqueued(self, tx: Tx, settled: Settled) -> Queued:
        fields = {
            "boot": settled.boot,
            "from": settled.from_ms,
            "to": settled.to_ms,
            "batches": settled.batches,
        }
        if settled.why:
            log.warning("%s: %d batches stay without a sure time", settled.why, settled.batches)
            part = self._report_of("time_uncertain", fields | {"why": settled.why})
        else:
            log.info("the clock is set: %d batches that waited get their time", settled.batches)
            part = self._report_of("time_known", fields)
        sealed_ms = settled.to_ms if self._now is None else self._now.utc_ms
        return tx.enqueue(
            "reports", part.schema, partial(header.seal, part), 0, live=True, sealed_ms=sealed_ms
        )

    def _tell_cloud(self, type_: str, fields: Mapping[str, object]) -> None:
        self._report(self._report_of(type_, fields))

    def _report_of(self, type_: str, fields: Mapping[str, object]) -> Part:
        clock = ClockState.UNSYNCED if self._now is None else self._now.clock
        return reports.pack_report(type_, fields, clock)
