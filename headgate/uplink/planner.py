"""Decides what to send next, and when: lanes in turn, the connection's limits, back-off. Time is told."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from headgate.model import Ack
from headgate.store.state import OutboxPart, Queued
from headgate.uplink.acks import AckBook
from headgate.uplink.awaiting import Awaiting
from headgate.uplink.lanes import ON_DISK, Lane, LaneQueue, drop_covered, lane_of, wire_bytes
from headgate.uplink.meter import Meter
from headgate.uplink.pacing import Bucket, UplinkTuning
from headgate.uplink.turns import Turns

AT_ONCE = frozenset({Lane.ALARMS, Lane.SCHEMAS})
"""Lanes of which what was lost does not wait behind live data."""


@dataclass(slots=True)
class UplinkCounters:
    """Envelopes since start. `refused`: publishes that the nucleus will never take; `offline`: not now."""

    sent: int = 0
    resent: int = 0
    acknowledged: int = 0
    refused: int = 0
    offline: int = 0


class Planner:
    """The state of one uplink. Publish what `next` returns, then call `done`, `failed` or `refused`."""

    def __init__(self, tuning: UplinkTuning | None = None, meter: Meter | None = None) -> None:
        self.tuning = self._given = tuning or UplinkTuning()
        self.counters = UplinkCounters()
        self.meter = meter or Meter()
        self._queues = {lane: LaneQueue(part) for lane, part in ON_DISK.items()}
        self._live: deque[Queued] = deque()
        self._live_bytes = 0
        self._awaiting = Awaiting(self.tuning)
        self._acks = AckBook()
        self._turns = Turns()
        self.set_limits(None, None)
        self._blocked_until_ms = 0
        self._retry_ms = self.tuning.retry_first_ms

    @property
    def unacknowledged_bytes(self) -> int:
        """What was handed to the nucleus and is not known to be in the cloud."""
        return self._awaiting.size_bytes

    @property
    def offline(self) -> bool:
        """Whether the nucleus has said no for so long that it is no passing fullness."""
        return self._retry_ms > self.tuning.offline_after_ms

    def set_limits(
        self,
        publishes_per_s: float | None,
        bytes_per_s: float | None,
        shares: Mapping[Lane, float] | None = None,
    ) -> None:
        """Other limits and shares from now on; None: the tuning's."""
        self._publishes = Bucket.half_a_second(publishes_per_s or self.tuning.publishes_per_s)
        self._bytes = Bucket.half_a_second(bytes_per_s or self.tuning.bytes_per_s)
        self._turns = Turns(shares)

    def set_resend_after_ms(self, resend_after_ms: int | None) -> None:
        """How long the cloud's word is waited for from now on; None: the tuning's."""
        after_ms = self._given.resend_after_ms if resend_after_ms is None else resend_after_ms
        self.tuning = replace(
            self._given, resend_after_ms=after_ms, resend_max_ms=max(after_ms, self._given.resend_max_ms)
        )
        self._awaiting.tune(self.tuning)

    # What there is to send.

    def offer(self, sealed: Sequence[Queued]) -> None:
        """Tell of envelopes just sealed, in the order of their rows."""
        for item in sealed:
            lane = lane_of(item.envelope)
            if lane is Lane.LIVE:
                self._live.append(item)
                self._live_bytes += len(item.envelope.body)
                self._queues[Lane.BACKLOG].pass_over(item.row)
            else:
                self._queues[lane].offer(item)
        while self._live_bytes > self.tuning.live_bytes:
            self._forget_oldest_live()

    def wants_rows(self) -> tuple[Lane, OutboxPart, int] | None:
        """Of which lane, which part of the outbox is to be read next, behind which row."""
        for lane, queue in self._queues.items():
            after_row = queue.wants_rows_after()
            if after_row is not None:
                return lane, queue.part, after_row
        return None

    def rows(self, lane: Lane, after_row: int, found: Sequence[Queued], *, last: bool) -> None:
        """What was read of that lane behind `after_row`; `last`: there is nothing more."""
        live = {item.row for item in self._live}

        def known(item: Queued) -> bool:
            return item.row in live or item.row in self._awaiting or self._acks.covers(item.envelope.id)

        self._queues[lane].rows(after_row, found, known, last=last)

    # What to do now.

    def next(self, now_ms: int, utc_ms: int) -> Queued | None:
        """The envelope to publish now, or None: see `wake_ms`."""
        self._age_live(utc_ms)
        if now_ms < self._blocked_until_ms or self._awaiting.in_flight >= self._max_in_flight():
            return None
        found = self._pick(now_ms, utc_ms)
        if found is None or self._tokens_wait_ms(found[1], now_ms):
            return None
        self._start(*found, now_ms)
        return found[1]

    def wake_ms(self, now_ms: int, utc_ms: int) -> int | None:
        """When `next` may have something although nothing was told meanwhile; None: not by time alone."""
        if self._blocked_until_ms > now_ms:
            return self._blocked_until_ms
        if self._awaiting.in_flight >= self._max_in_flight():
            return None
        times = [now_ms + self.tuning.live_age_ms] if self._live else []
        found = self._pick(now_ms, utc_ms)
        if found is not None:
            times.append(now_ms + self._tokens_wait_ms(found[1], now_ms))
        # What is due and held back is due again when its lane may go, not at once.
        times += [due_ms for due_ms in self._awaiting.due_times_ms() if due_ms > now_ms]
        held = (self.meter.wait_ms(lane, utc_ms) for lane in self._waiting_lanes(now_ms))
        times += [now_ms + wait_ms for wait_ms in held if wait_ms]
        return max(min(times), now_ms + 1) if times else None

    def held(self, now_ms: int, utc_ms: int) -> Mapping[Lane, str]:
        """The lanes in which something waits that the metered link does not let go, and why."""
        reasons = {lane: self.meter.held(lane, utc_ms) for lane in self._waiting_lanes(now_ms)}
        return {lane: why for lane, why in reasons.items() if why}

    # What came of it.

    def done(self, row: int) -> None:
        """The nucleus took it; it waits for the cloud's word now."""
        sent = self._awaiting.land(row)
        if sent is not None and sent.attempts > 1:
            self.counters.resent += 1
        else:
            self.counters.sent += 1
        self._retry_ms = self.tuning.retry_first_ms
        self._blocked_until_ms = 0

    def failed(self, row: int, now_ms: int) -> None:
        """The nucleus cannot take anything now; back off."""
        self.counters.offline += 1
        sent = self._awaiting.land(row)
        if sent is not None and sent.attempts == 1:
            self._awaiting.remove(row)
            self._put_back(sent.item)
        if now_ms >= self._blocked_until_ms:  # those in flight together fail once
            self._blocked_until_ms = now_ms + self._retry_ms
            self._retry_ms = min(2 * self._retry_ms, self.tuning.retry_max_ms)

    def refused(self, row: int) -> None:
        """The nucleus will not take this one; it is tried again as if lost, for the reason may go away."""
        self.counters.refused += 1
        self._awaiting.land(row)

    def acknowledge(self, ack: Ack, now_ms: int) -> int:
        """Take in the cloud's word; returns how many envelopes it freed."""
        ack = self._acks.note(ack)
        count = self._awaiting.acknowledge(ack)
        count += sum(queue.forget(ack) for queue in self._queues.values())
        count += drop_covered(self._live, ack)
        self._live_bytes = sum(len(item.envelope.body) for item in self._live)
        if count:
            self._awaiting.progressed(now_ms)
            self._blocked_until_ms = 0  # what was backing off may try at once
        self.counters.acknowledged += count
        return count

    def settle(self, row: int, ack: Ack, now_ms: int) -> None:
        """The nucleus took it, and that is all that is waited for; `ack` is all that it took of its epoch."""
        self._acks.note(ack)
        if row in self._awaiting:
            self._awaiting.remove(row)
            self.counters.acknowledged += 1
        self._awaiting.progressed(now_ms)
        self._blocked_until_ms = 0

    def forget(self, rows: Collection[int]) -> None:
        """These are no longer in the outbox, though the cloud has not said that it holds them."""
        gone = set(rows)
        if not gone:
            return
        self._awaiting.forget(gone)
        for queue in self._queues.values():
            queue.forget_rows(gone)
        self._live = deque(item for item in self._live if item.row not in gone)
        self._live_bytes = sum(len(item.envelope.body) for item in self._live)

    # The parts.

    def _max_in_flight(self) -> int:
        """One alone while the nucleus last said no, so that it is asked and not stormed."""
        return 1 if self._retry_ms > self.tuning.retry_first_ms else self.tuning.max_in_flight

    def _pick(self, now_ms: int, utc_ms: int) -> tuple[Lane, Queued] | None:
        """Whose turn it is and may go. What was lost goes with the backlog, ahead of it, or at once."""
        again: dict[Lane, Queued] = {}
        for item in self._awaiting.due(now_ms):
            lane = lane_of(item.envelope)
            if not self.meter.wait_ms(lane, utc_ms):
                again.setdefault(lane if lane in AT_ONCE else Lane.BACKLOG, item)
        for lane in self._turns.order():
            if lane in again:
                return lane, again[lane]
            head = self._head(lane)
            if head and self._has_room(head, lane) and not self.meter.wait_ms(lane, utc_ms):
                return lane, head
        return None

    def _head(self, lane: Lane) -> Queued | None:
        if lane is Lane.LIVE:
            return self._live[0] if self._live else None
        return self._queues[lane].head

    def _waiting_lanes(self, now_ms: int) -> set[Lane]:
        again = {lane_of(item.envelope) for item in self._awaiting.due(now_ms)}
        return again | {lane for lane in Lane if self._head(lane) is not None}

    def _has_room(self, item: Queued, lane: Lane) -> bool:
        """Live data finds room beside the backlog, and alarms beside all else; all of it is bounded."""
        tuning = self.tuning
        part = {Lane.ALARMS: tuning.alarms_part, Lane.SCHEMAS: 1.0, Lane.LIVE: 1.0}.get(
            lane, tuning.backlog_part
        )
        size_bytes = self._awaiting.size_bytes + len(item.envelope.body)
        return size_bytes <= tuning.max_unacknowledged_bytes * part

    def _tokens_wait_ms(self, item: Queued, now_ms: int) -> int:
        size_bytes = wire_bytes(item.envelope)
        return max(self._publishes.wait_ms(1, now_ms), self._bytes.wait_ms(size_bytes, now_ms))

    def _start(self, lane: Lane, item: Queued, now_ms: int) -> None:
        self._publishes.take(1, now_ms)
        self._bytes.take(wire_bytes(item.envelope), now_ms)
        self._turns.took(lane)
        if item.row not in self._awaiting:
            if lane is Lane.LIVE:
                self._live.popleft()
                self._live_bytes -= len(item.envelope.body)
            else:
                self._queues[lane].items.popleft()
        self._awaiting.start(item, now_ms)

    def _put_back(self, item: Queued) -> None:
        lane = lane_of(item.envelope)
        if lane is Lane.LIVE:
            self._live.appendleft(item)
            self._live_bytes += len(item.envelope.body)
        else:
            self._queues[lane].items.appendleft(item)

    def _age_live(self, utc_ms: int) -> None:
        while self._live and utc_ms - self._live[0].sealed_ms > self.tuning.live_age_ms:
            self._forget_oldest_live()

    def _forget_oldest_live(self) -> None:
        """Leave it to the outbox: it will be read again as backlog."""
        item = self._live.popleft()
        self._live_bytes -= len(item.envelope.body)
        self._queues[Lane.BACKLOG].go_back(item.row)
