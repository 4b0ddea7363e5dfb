"""The hub's alarms: states that outlive it, events, and what an event leaves to do, each exactly once.

`Alarms` runs in the store's thread; `Aftermath` does on the loop what events left behind.
"""

from __future__ import annotations

import json
import logging
import sqlite3
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import partial

from headgate.alarm.config import Alarm, AlarmsConfig
from headgate.alarm.watch import Key, Saved, Watch
from headgate.clock import UTC_PLAUSIBLE_MS, Clock
from headgate.columns import Columns
from headgate.config.pattern import Pattern
from headgate.envelope import header
from headgate.envelope.alarms import pack_context, pack_event
from headgate.envelope.header import Part
from headgate.errors import Reject
from headgate.limited_log import LimitedLog
from headgate.model import AlarmEvent, ClockState
from headgate.roles.hub_capture import CAPTURE, Ask, Wanted, capture
from headgate.sleeper import Sleeper
from headgate.store.alarm_rows import PendingRow
from headgate.store.state import Queued
from headgate.store.store import Store
from headgate.store.transaction import Tx
from headgate.store.writer import Writer

CONTEXT = "context"
"""Kind of a pending row."""
MAX_PENDING = 200
"""Events whose context or files are still to be sent; those of further events are left out."""
MAX_CONTEXT_PARTS = 60
"""Envelopes of one event, about 300 kB."""
MAX_CONTEXT_SAMPLES = 100_000
LOOK_MS = 60_000
"""UTC may be set meanwhile: what is due is looked at so often."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class AlarmsTuning:
    """`settle_ms`: after a start, time alone raises nothing for so long: bridges first hand over what they
    kept. `context_wait_ms`: how long samples may take to be here.
    """

    settle_ms: int = 20_000
    context_wait_ms: int = 5_000
    capture_retry_ms: int = 10_000
    capture_most_ms: int = 600_000


class Alarms:
    """Watches what is committed; what it found is told and saved with the next seal."""

    def __init__(self, store: Store, thing: str, config: AlarmsConfig, tuning: AlarmsTuning) -> None:
        self.left_out = 0
        self._store = store
        self._room_bytes = header.room_bytes(thing)
        self._tuning = tuning
        self._rules = {alarm.name: alarm for alarm in config}
        states = store.state.alarms.states()
        self._watch = Watch(config, states)
        self._early = Watch(config)
        self._settles = bool(states)
        self._settled_boot_ms = 0
        self._events: list[tuple[AlarmEvent, ClockState]] = []
        self._pending = store.state.alarms.pending()
        self._fresh_pending: list[PendingRow] = []
        self._unsaved: dict[Key, Saved | None] = {}
        self._complaints = LimitedLog(log)

    @property
    def urgent(self) -> bool:
        """Whether there is an event to be told."""
        return bool(self._events)

    @property
    def events(self) -> list[AlarmEvent]:
        """Those that the next seal tells."""
        return [event for event, _ in self._events]

    @property
    def pending(self) -> tuple[PendingRow, ...]:
        """What is durably still to be done; any thread may ask."""
        return tuple(self._pending)

    def started(self, boot_ms: int) -> None:
        """The hub has just started."""
        self._settled_boot_ms = boot_ms + self._tuning.settle_ms if self._settles else boot_ms

    def change(self, config: AlarmsConfig) -> None:
        """Other rules from now on; states of those that are the same go on."""
        self._rules = {alarm.name: alarm for alarm in config}
        self._watch.change(config)
        self._early = Watch(config)

    def forget(self, devices: Collection[str]) -> None:
        """These devices are gone."""
        self._watch.forget(devices)
        self._early.forget(devices)

    def samples(self, groups: Sequence[Columns], position: int, clock: ClockState, *, fresh: bool) -> None:
        """What the batch at that journal position brought.

        Not `fresh`: it was sealed before the hub was started, its events were told.
        """
        events = self._watch.samples(groups, position)
        if fresh:
            self.tell(events, clock)

    def early(self, groups: Sequence[Columns], clock: ClockState) -> None:
        """What a batch without a sure time brought: told now, and again once its samples have their time."""
        self.tell(self._early.samples(groups, 0), clock)

    def tick(self, utc_ms: int, boot_ms: int) -> None:
        """Time has passed."""
        if utc_ms >= UTC_PLAUSIBLE_MS and boot_ms >= self._settled_boot_ms:
            self.tell(self._watch.tick(utc_ms), ClockState.SYNCED)

    def tell(self, events: Iterable[AlarmEvent], clock: ClockState) -> None:
        """Have events told with the next seal."""
        self._events += [(event, clock) for event in events]

    def parts(self) -> list[Part]:
        """Of all events."""
        return [pack_event(event, clock) for event, clock in self._events]

    def save(self, tx: Tx, position: int, replay: int, utc_ms: int) -> None:
        """With the seal that tells the events. `position` and `replay`: see `Watch.unsaved`."""
        self._unsaved = self._watch.unsaved(position, replay)
        if self._unsaved:
            tx.alarms().put_states(self._unsaved)
        self._fresh_pending = []
        for event, clock in self._events:
            alarm = self._rules.get(event.alarm)
            sure = clock is not ClockState.UNSYNCED  # else there is no telling what was around it
            if alarm is not None and event.state == "raised" and sure:
                self._leave(tx, alarm, event, clock, utc_ms)

    def were_saved(self) -> None:
        """The transaction of `save` is durable."""
        self._watch.were_saved(self._unsaved)
        self._pending += self._fresh_pending
        self._events = []

    def read_context(self, row: PendingRow) -> list[Part]:
        """The raw samples around an event, its own series first. For the thread that reads."""
        asked = json.loads(row.text)
        series, t_ms = asked["series"], asked["t"]
        match = [Pattern(text) for text in asked["match"]]
        names = {each.name for each in self._store.series()}
        wanted = {name for name in names if any(pattern.matches(name) for pattern in match)}
        groups: list[Columns] = []
        count = 0
        for some in ({series}, wanted - {series}):
            for column in self._store.query(some, asked["from"], asked["to"]) if some else ():
                if count < MAX_CONTEXT_SAMPLES:
                    quality = bytes(column.quality)
                    codes = quality if any(quality) else None
                    groups.append(Columns((column.series,), column.times_ms, [column.values], [codes]))
                    count += len(column.times_ms)
        return pack_context(
            groups,
            ClockState(asked["clock"]),
            self._room_bytes,
            MAX_CONTEXT_PARTS,
            alarm=asked["alarm"],
            series=series,
            t_ms=t_ms,
        )

    def settle(self, row: PendingRow, parts: Sequence[Part], utc_ms: int) -> list[Queued]:
        """What an event left to do is done: all of it is in the outbox, and it is not done again."""
        with self._store.begin() as tx:
            tx.alarms().drop_pending(row.id)
            queued = [
                tx.enqueue(
                    "alarms",
                    part.schema,
                    partial(header.seal, part),
                    part.samples,
                    live=True,
                    sealed_ms=utc_ms,
                )
                for part in parts
            ]
        self._pending = [each for each in self._pending if each.id != row.id]
        return queued

    def _leave(self, tx: Tx, alarm: Alarm, event: AlarmEvent, clock: ClockState, utc_ms: int) -> None:
        """Note in the event's own transaction what it leaves to do."""
        about = {"alarm": event.alarm, "series": event.series.name, "t": event.t_ms, "clock": int(clock)}
        if context := alarm.context:
            match = [pattern.text for pattern in context.match] or [event.series.name]
            from_ms, to_ms = event.t_ms - context.before_ms, event.t_ms + context.after_ms
            still_ms = min(max(to_ms - utc_ms, 0), context.after_ms)
            due_ms = utc_ms + still_ms + self._tuning.context_wait_ms
            self._add(tx, CONTEXT, due_ms, {**about, "match": match, "from": from_ms, "to": to_ms + 1})
        if asked := alarm.capture:
            until_ms = utc_ms + self._tuning.capture_most_ms
            self._add(tx, CAPTURE, utc_ms, {**about, **Wanted(asked.source, asked.newest, until_ms).fields()})

    def _add(self, tx: Tx, kind: str, due_ms: int, asked: dict[str, object]) -> None:
        if len(self._pending) + len(self._fresh_pending) >= MAX_PENDING:
            self.left_out += 1
            self._complaints.warning(kind, "alarm %s: no %s, too many are pending", asked["alarm"], kind)
            return
        text = json.dumps(asked, separators=(",", ":"))
        self._fresh_pending.append(tx.alarms().add_pending(kind, due_ms, text))


class Aftermath:
    """Does what events left behind, when it is due. `offer` tells the uplink of envelopes."""

    def __init__(
        self,
        alarms: Alarms,
        clock: Clock,
        writer: Writer,
        reader: Writer,
        offer: Callable[[Sequence[Queued]], None],
        ask: Ask,
        tuning: AlarmsTuning,
    ) -> None:
        self._alarms = alarms
        self._clock = clock
        self._writer = writer
        self._reader = reader
        self._offer = offer
        self._ask = ask
        self._tuning = tuning
        self._sleeper = Sleeper(clock)
        self._courier_boot_ms = 0
        self._complaints = LimitedLog(log)

    def sealed(self) -> None:
        """There may be more to do."""
        self._sleeper.wake()

    async def run(self) -> None:
        """Work until cancelled; what is not done then is done by the next run of the hub."""
        while True:
            rows = self._alarms.pending
            due = [row for row in rows if self._due_in_ms(row) <= 0]
            for row in [row for row in due if row.kind != CAPTURE]:
                await self._do(row)
            captures = [row for row in due if row.kind == CAPTURE]
            if captures:  # one at a time: a courier that is silent must not keep samples waiting
                await self._do(captures[0])
            waits_ms = [LOOK_MS, *(self._due_in_ms(row) for row in self._alarms.pending)]
            await self._sleeper.until(self._clock.boot_ms() + max(0, min(waits_ms)))

    def _due_in_ms(self, row: PendingRow) -> int:
        later_ms = self._courier_boot_ms - self._clock.boot_ms() if row.kind == CAPTURE else 0
        return max(row.due_ms - self._clock.utc_ms(), later_ms)

    async def _do(self, row: PendingRow) -> None:
        found: list[Part] | None = []
        try:
            if row.kind == CONTEXT:
                found = await self._reader.call(self._alarms.read_context, row)
            elif row.kind == CAPTURE:
                found = await capture(row.text, self._ask, self._clock)
        except (OSError, sqlite3.Error, Reject) as error:  # a damaged file: the event itself was told
            self._complaints.warning(row.kind, "%s of an alarm: %s", row.kind, error)
        if found is None:
            self._courier_boot_ms = self._clock.boot_ms() + self._tuning.capture_retry_ms
            return
        self._offer(await self._writer.call(self._alarms.settle, row, found, self._clock.utc_ms()))
