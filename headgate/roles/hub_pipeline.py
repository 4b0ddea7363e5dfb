"""The hub's middle: batches into the journal, out of it into windows, envelopes and blocks, exactly once.

All of it runs in the store's thread. What is in no envelope yet, and windows that are open, live in memory
only; after a crash the journal is replayed from the position in state.db, and both come back the same.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial

from headgate import columns as columns_of
from headgate.alarm.config import AlarmsConfig
from headgate.batch import decode, encode
from headgate.clock import random_id
from headgate.columns import Columns
from headgate.envelope import header, reports
from headgate.envelope.header import Part
from headgate.errors import Reject
from headgate.limited_log import LimitedLog
from headgate.model import Ack, AlarmEvent, Batch, ClockState, Envelope, Series, Window
from headgate.roles.hub_alarms import Alarms, AlarmsTuning
from headgate.roles.hub_fresh import Fresh, mark_of
from headgate.roles.hub_packing import Packing
from headgate.roles.hub_time import HubTime, ReadClock
from headgate.roles.hub_windows import Windows
from headgate.store.quarantine import fields_of
from headgate.store.replay import Journaled
from headgate.store.state import LedgerRow, Queued
from headgate.store.store import Store
from headgate.store.transaction import Tx
from headgate.timeline import TimeTuning
from headgate.uplink.config import UplinkConfig
from headgate.uplink.lanes import SCHEMAS
from headgate.window.config import WindowsConfig

OUTBOX_FACTOR, OUTBOX_BYTES = 3, 256 * 1024
"""What a transaction takes of the disk for each byte of its envelopes, log included; and besides."""
SAMPLE_BYTES, BLOCK_BYTES = 20, 128 * 1024
"""What a sample takes at most while it is written to a day file, log included; and the file besides."""

MAX_SCHEMAS = 10_000
"""Reports of schemas in the outbox that are looked at; a gateway has a few."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PipelineTuning:
    """How long things may wait. `live_age_ms`: samples older than that when sealed go by stream backlog.

    Blocks of ten minutes of 1 Hz keep half a byte a sample; until then a sample takes 8 B of memory, and is
    read again from the journal at start. `mark_series`: of a dead bridge, how many are marked at a time.
    `seal_samples`: so many are sealed at once, more would not become smaller for waiting.
    `health_pile_ms`: how old a heartbeat that waits for the cloud is before another joins it.
    """

    idle_ms: int = 15_000
    live_age_ms: int = 30_000
    blocks_every_ms: int = 600_000
    blocks_samples: int = 600_000
    mark_series: int = 2_000
    seal_samples: int = 100_000
    health_pile_ms: int = 3_600_000
    alarms: AlarmsTuning = field(default_factory=AlarmsTuning)
    time: TimeTuning = field(default_factory=TimeTuning)


@dataclass(slots=True)
class PipelineCounters:
    """Since start; samples unless a name says otherwise.

    `late` came when their window was closed; `corrected` windows were sent again for it.
    """

    batches: int = 0
    samples: int = 0
    late: int = 0
    corrected: int = 0
    unfit: int = 0
    refused_batches: int = 0
    windows: int = 0
    dropped_by_bridges: int = 0
    marked: int = 0


@dataclass(frozen=True, slots=True)
class _Raw:
    columns: Columns
    clock: ClockState
    newest_ms: int


@dataclass(frozen=True, slots=True)
class Arrived:
    """What one commit makes durable: tables first, then batches with the bytes they came as."""

    tables: Sequence[tuple[Series, ...]] = ()
    batches: Sequence[tuple[Batch, bytes]] = ()


Told = Callable[[Sequence[Window], Sequence[AlarmEvent]], None]
"""Hears in the store's thread what a seal has just made durable."""


@dataclass(frozen=True, slots=True)
class Booking:
    """Lines of the ledger that changed, the day before which lines are dropped, numbers kept by name."""

    rows: Sequence[LedgerRow]
    before_day: int
    notes: Mapping[str, int]


@dataclass(slots=True)
class Pipeline:
    """One hub's data path over an open store. Call `recover` first. `told`: see Told.

    `raw`: whether samples go to the cloud beside their windows; `uplink`: in which form.
    """

    store: Store
    thing: str
    windows: WindowsConfig
    alarms: AlarmsConfig = ()
    tuning: PipelineTuning = field(default_factory=PipelineTuning)
    read_clock: ReadClock | None = None
    uplink: UplinkConfig = field(default_factory=UplinkConfig)
    counters: PipelineCounters = field(default_factory=PipelineCounters)
    told: Told | None = None
    watch: Alarms = field(init=False)
    raw: bool = True
    _packing: Packing = field(init=False)
    _raw: list[_Raw] = field(default_factory=list)
    _raw_samples: int = 0
    _windows: Windows = field(init=False)
    _closed: list[Window] = field(default_factory=list)
    _reports: list[Part] = field(default_factory=list)
    _health: list[Part] = field(default_factory=list)
    _time: HubTime = field(init=False)
    _fresh: Fresh = field(init=False)
    _mark_run: int = field(default_factory=random_id)
    _mark_seq: int = 1
    room: Callable[[int], bool] = lambda _: True
    """Whether so many bytes more may be written; what may not waits (`deferred`) or is tried again."""
    deferred: bool = False
    _end: int = 0
    _blocks_boot_ms: int = 0
    _complaints: LimitedLog = field(default_factory=lambda: LimitedLog(log))

    def __post_init__(self) -> None:
        self._windows = Windows(self.store, self.windows, self.tuning.idle_ms)
        self.watch = Alarms(self.store, self.thing, self.alarms, self.tuning.alarms)
        self._time = HubTime(self.store, self.report, self.tuning.time, self.read_clock)
        self._packing = Packing(self.thing, self.uplink, self.store.state.schemas())
        self._fresh = Fresh(self.store.state.fresh(), self.store.table)

    @property
    def urgent(self) -> bool:
        """Whether something waits that is to be sealed at once."""
        return self.watch.urgent

    @property
    def full(self) -> bool:
        """Whether so much waits for its envelopes that no more should."""
        return self._raw_samples >= self.tuning.seal_samples

    def recover(self, boot_ms: int) -> int:
        """Rebuild what was in memory from the journal; returns how many batches were replayed."""
        progress = self.store.progress
        self._windows.recover(boot_ms)
        self.watch.started(boot_ms)
        self._end = max(progress.packed, progress.blocks, progress.replay)
        self._blocks_boot_ms = boot_ms
        count = 0
        self._time.look()
        for item in self.store.replay():
            if self._time.replayed(item):
                self._consume(item, boot_ms)
            count += 1
        self._end = max(self._end, self.store.journal.end)
        return count

    def set_windows(self, windows: WindowsConfig) -> None:
        """Open windows close as they stand, new ones start at the next multiple of their step."""
        if windows != self.windows:
            self.windows = windows
            self._closed += self._windows.change(windows)

    def set_alarms(self, alarms: AlarmsConfig) -> None:
        """Other alarms from now on; states of rules that stay the same go on."""
        if alarms != self.alarms:
            self.alarms = alarms
            self.watch.change(alarms)

    def set_uplink(self, uplink: UplinkConfig) -> None:
        """From the next envelope on."""
        self.uplink = self._packing.config = uplink

    def commit(self, arrived: Arrived, boot_ms: int) -> None:
        """Make batches durable in the journal, then take them in. They may be acknowledged after this."""
        self._look()
        journaled = []
        with self.store.begin() as tx:
            for table in arrived.tables:
                tx.add_table(table)
            for batch, wire in arrived.batches:
                item = self._time.append(tx, batch, wire)
                if item is not None:
                    journaled.append(item)
        for item in journaled:
            if item.batch.clock is ClockState.UNSYNCED:
                self._warn_early(item.batch)
            if not item.waiting:
                self._consume(item, boot_ms)
        self._release(boot_ms)
        self._end = self.store.journal.end

    def report(self, part: Part) -> None:
        """Have the cloud told, with the next `seal`."""
        self._reports.append(part)

    def fresh_bridges(self) -> list[str]:
        """The bridges of which some series' last sample was not bad."""
        return self._fresh.bridges()

    def devices_changed(self, before: Mapping[str, str], after: Mapping[str, str]) -> None:
        """Another site document's devices, each with its bridge: those it does not have are not missed."""
        self._fresh.site_changed(before, after)
        self.watch.forget(before.keys() - after.keys())

    def let_go(self, bridge: str) -> None:
        """The bridge was stopped on purpose: nothing of it is marked until it sends again."""
        self._fresh.let_go(bridge)

    def mark(self, bridge: str, boot_ms: int, utc_ms: int, clock: ClockState) -> Arrived:
        """The bridge is dead: the next of its series that look fresh get a sample without a value, bad_comm.

        It takes the way of every sample. At most `mark_series` at a time; nothing when none is left.
        """
        picked = self._fresh.pick(bridge, self.tuning.mark_series)
        table = self.store.table(picked[0]) if picked else None
        if picked is None or table is None:
            return Arrived()
        dictionary, series = picked
        batch = mark_of(
            bridge,
            self._mark_run,
            self._mark_seq,
            dictionary,
            series,
            table,
            boot_ms=boot_ms,
            utc_ms=utc_ms,
            clock=clock,
            boot=self._time.boot,
        )
        arrived = Arrived(batches=[(decode(wire), wire) for wire in encode(batch)])
        self._mark_seq += len(arrived.batches)
        self.commit(arrived, boot_ms)
        self.counters.marked += len(series)
        return arrived

    def report_health(self, part: Part, utc_ms: int) -> bool:
        """Have the newest health told with the next `seal`, unless it would only pile up; returns whether."""
        waiting, newest_ms = self.store.state.waiting("health")
        if waiting and 0 <= utc_ms - newest_ms < self.tuning.health_pile_ms:
            return False
        self._health = [part]
        return True

    def seal(
        self, acks: Iterable[Ack], utc_ms: int, boot_ms: int, booking: Booking | None = None
    ) -> list[Queued]:
        """Pack what waits into envelopes and note it in one transaction, `acks` and `booking` with it.

        The returned envelopes are durable and may be published.
        """
        self._look()
        self._release(boot_ms)
        self._closed += [
            window
            for window in self._windows.take_closed(boot_ms)  # what is made again needs all its samples
            if not window.revision or self.store.is_whole(window.start_ms, window.start_ms + window.length_ms)
        ]
        for bridge, late in self._windows.take_late().items():
            self.counters.late += late
            self._complaints.warning(
                f"{bridge} late",
                "bridge %s: %d samples came after their window was closed; it is sent again",
                bridge,
                late,
            )
        if self._time.is_sure:
            self.watch.tick(utc_ms, boot_ms)
        notes = list(self.store.opening.untold)
        acks = list(acks)
        parts = self._parts(acks, utc_ms, boot_ms)
        parts += [("reports", reports.set_aside(fields_of(note))) for note in notes]
        queued = self._time.take_queued()
        booked = booking is not None and booking.rows
        size_bytes = sum(len(part.text) + len(part.data) for _, part in parts)
        self.deferred = bool(parts) and not self.room(
            OUTBOX_FACTOR * size_bytes + OUTBOX_BYTES * (1 + bool(acks))
        )
        if self.deferred:
            if acks or booked:
                with self.store.begin() as tx:
                    _note(tx, acks, booking)
            return queued
        fresh, boots = self._fresh.unsaved(), self._time.unsaved()
        if parts or acks or fresh or booked or self._end != self.store.progress.packed:
            with self.store.begin() as tx:
                tx.add_schemas(self._packing.fresh())
                _note(tx, acks, booking)
                for stream, part in parts:
                    seal = partial(header.seal, part)
                    live = stream not in ("backlog", "schemas")
                    name = "reports" if stream == "schemas" else stream
                    queued.append(
                        tx.enqueue(name, part.schema, seal, part.samples, live=live, sealed_ms=utc_ms)
                    )
                tx.told(notes)
                tx.windows_closed(self._windows.closed_until())
                tx.look_fresh(fresh)
                tx.boots(boots.items())
                if self._windows.doubted.changed:
                    tx.doubted(self._windows.doubted.ranges())
                    self._windows.doubted.saved()
                length_ms, replay = self.windows.default.length_ms, self._needed()
                self.watch.save(tx, self._end, replay, utc_ms)
                tx.consumed(packed=self._end, replay=replay, window_length_ms=length_ms)
            self.store.opening.were_told(notes)
            if self.told is not None:
                self.told(self._closed, self.watch.events)
            self._fresh.were_saved(fresh)
            self._packing.were_saved()
            self._time.were_saved(boots)
            self.watch.were_saved()
            self.counters.windows += sum(not window.revision for window in self._closed)
            self.counters.corrected += sum(window.revision > 0 for window in self._closed)
            self._raw, self._closed, self._reports, self._health = [], [], [], []
            self._raw_samples = 0
        self._seal_blocks(boot_ms)
        return queued

    def _look(self) -> None:
        """Read the clocks; windows that are closed until long after now were closed by a wrong clock."""
        self._time.look()
        if self._time.synced_ms is not None:
            self._closed += self._windows.rewind(self._time.synced_ms)

    def _release(self, boot_ms: int) -> None:
        """Take in what need not wait any more for its UTC."""
        for items in self._time.release():
            for item in items:
                self._consume(item, boot_ms)
            self._end = self.store.journal.end

    def _warn_early(self, batch: Batch) -> None:
        """Alarms by times that are not sure. They are told again once the samples have got theirs."""
        table = self.store.table(batch.dictionary)
        if not self.alarms or table is None:
            return
        with suppress(Reject):  # told when the batch is taken in
            groups, _ = columns_of.from_batch(batch, table)
            self.watch.early(groups, batch.clock)

    def _consume(self, item: Journaled, boot_ms: int) -> None:
        """Take in a journaled batch, or what of it was not taken in before the crash."""
        batch, progress = item.batch, self.store.progress
        fresh = item.position >= progress.packed
        self._end = max(self._end, item.end)
        groups = self._columns(batch, fresh)
        if item.position >= progress.blocks:
            for columns in groups:
                self.store.keep(item.position, columns)
        if fresh:
            if groups:
                self._fresh.add(batch)
            samples = sum(map(len, groups))
            self.counters.batches += 1
            self.counters.samples += samples
            self._raw_samples += samples
            if batch.dropped:
                self.counters.dropped_by_bridges += batch.dropped
                self._report_dropped(batch, batch.dropped, "shed by the bridge")
            self._raw += [_Raw(columns, batch.clock, max(columns.times_ms)) for columns in groups]
        if batch.clock is not ClockState.UNSYNCED:
            self.watch.samples(groups, item.position, batch.clock, fresh=fresh)
        if groups:
            self._window(item, groups, boot_ms)

    def _columns(self, batch: Batch, fresh: bool) -> list[Columns]:
        try:
            table = self.store.table(batch.dictionary)
            if table is None:
                raise Reject(f"dictionary {batch.dictionary.hex()} of bridge {batch.bridge} is in no record")
            groups, unfit = columns_of.from_batch(batch, table)
        except Reject as error:
            self.counters.refused_batches += 1
            self._complaints.warning(batch.bridge, "%s: its samples are passed over", error)
            if fresh:
                self._report_dropped(batch, sum(len(frame.series) for frame in batch.frames), str(error))
            return []
        if unfit:
            self.counters.unfit += unfit
            self._complaints.warning(
                f"{batch.bridge} unfit",
                "bridge %s: %d values do not fit their kind: bad_value",
                batch.bridge,
                unfit,
            )
        return groups

    def _report_dropped(self, batch: Batch, count: int, why: str) -> None:
        """Have the cloud told, in the transaction that makes the rest of the batch sealed."""
        times = [frame.boot_ms + batch.utc_offset_ms for frame in batch.frames] or [batch.utc_offset_ms]
        report = reports.dropped(f"{batch.bridge}/*", min(times), max(times), count, why, batch.clock)
        self.report(report)

    def _window(self, item: Journaled, groups: Sequence[Columns], boot_ms: int) -> None:
        batch = item.batch
        if batch.clock is ClockState.UNSYNCED:  # its times are no UTC: no window could be right
            for columns in groups:
                self._windows.doubted.add(columns.times_ms)
            return
        fresh = item.position >= self.store.progress.packed
        if not fresh and self._windows.rewound(groups, self._time.synced_ms):
            return
        self._windows.add(item, groups, fresh=fresh, boot_ms=boot_ms)

    def _parts(self, acks: Iterable[Ack], utc_ms: int, boot_ms: int) -> list[tuple[str, Part]]:
        live_from_ms = utc_ms - self.tuning.live_age_ms
        parts: list[tuple[str, Part]] = []
        for stream, live in (("live", True), ("backlog", False)):
            for clock in ClockState:
                groups = [
                    raw.columns
                    for raw in self._raw
                    if self.raw and raw.clock is clock and (raw.newest_ms >= live_from_ms) is live
                ]
                packed = self._packing.samples(groups, clock, boot_ms)
                parts += [("plain" if part.kind == "plain" else stream, part) for part in packed]
            closed = [w for w in self._closed if (w.start_ms + w.length_ms >= live_from_ms) is live]
            parts += [(stream, part) for part in self._packing.windows(closed, boot_ms)]
        first = [("alarms", part) for part in self.watch.parts()]
        first += [("schemas", part) for part in self._packing.reports(acks, boot_ms, self._schemas_waiting)]
        first += [("reports", part) for part in self._reports]
        first += [("health", part) for part in self._health]
        return first + parts

    def _schemas_waiting(self) -> list[Envelope]:
        return [item.envelope for item in self.store.queued(0, MAX_SCHEMAS, SCHEMAS)]

    def _needed(self) -> int:
        """The oldest journal position that a replay needs."""
        positions = [self._end, self.store.progress.blocks]
        needed = (self._windows.oldest_position(), self._time.oldest_position)
        return min([*positions, *(position for position in needed if position is not None)])

    def _seal_blocks(self, boot_ms: int) -> None:
        due = boot_ms - self._blocks_boot_ms >= self.tuning.blocks_every_ms
        if due or self.store.unsealed_samples >= self.tuning.blocks_samples:
            self.seal_blocks(boot_ms)

    def seal_blocks(self, boot_ms: int) -> None:
        """Put what is in memory into blocks now, where there is room; nothing before an id is durable."""
        samples = self.store.unsealed_samples
        if self.store.unsaved_ids or (samples and not self.room(SAMPLE_BYTES * samples + BLOCK_BYTES)):
            return
        self._blocks_boot_ms = boot_ms
        self.store.seal_blocks(self._end)


def _note(tx: Tx, acks: Iterable[Ack], booking: Booking | None) -> None:
    for ack in acks:
        tx.acknowledge(ack)
    if booking is not None:
        tx.book(booking.rows, booking.before_day, booking.notes)
