"""Decides what to send next: alarms, live, what was lost on the way, the backlog. Pure; time is told.

Rows of the outbox up to the cursor are in memory here (live, backlog or unacknowledged) or done with; those
behind it are read when their turn comes.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from headgate.model import Ack
from headgate.store.state import Queued
from headgate.uplink.acks import AckBook, covers
from headgate.uplink.pacing import Bucket, UplinkTuning


@dataclass(slots=True)
class UplinkCounters:
    """Envelopes since start. `refused`: publishes that the nucleus will never take; `offline`: not now."""

    sent: int = 0
    resent: int = 0
    acknowledged: int = 0
    refused: int = 0
    offline: int = 0


@dataclass(slots=True)
class _Sent:
    item: Queued
    sent_ms: int
    attempts: int = 1
    in_flight: bool = True


MAX_ALARMS = 256
"""Alarms kept in memory ahead of all else; more are read from the outbox in their turn."""


class Planner:
    """The state of one uplink. Publish what `next` returns, then call `done`, `failed` or `refused`."""

    def __init__(self, tuning: UplinkTuning | None = None) -> None:
        self.tuning = tuning or UplinkTuning()
        self.counters = UplinkCounters()
        self._live: deque[Queued] = deque()
        self._live_bytes = 0
        self._alarms: deque[Queued] = deque()
        self._backlog: deque[Queued] = deque()
        self._unacknowledged: dict[int, _Sent] = {}  # by row, the longest waiting first
        self._unacknowledged_bytes = 0
        self._in_flight = 0
        self._cursor = 0
        self._all_read = False
        self._newest_row = 0
        self._asked_at_row = 0
        self._acks = AckBook()
        self._credit = 0.0
        self._publishes = Bucket(self.tuning.publishes_per_s, self.tuning.publishes_per_s / 2)
        self._bytes = Bucket(self.tuning.bytes_per_s, self.tuning.bytes_per_s / 2)
        self._blocked_until_ms = 0
        self._retry_ms = self.tuning.retry_first_ms
        self._progress_ms: int | None = None
        self._resumed_ms = 0
        self._probe_after_ms = self.tuning.resend_after_ms
        self._probed_ms = 0

    @property
    def unacknowledged_bytes(self) -> int:
        """What was handed to the nucleus and is not known to be in the cloud."""
        return self._unacknowledged_bytes

    @property
    def offline(self) -> bool:
        """Whether the nucleus has said no for so long that it is no passing fullness."""
        return self._retry_ms > self.tuning.offline_after_ms

    # What there is to send.

    def offer(self, sealed: Sequence[Queued]) -> None:
        """Tell of envelopes just sealed, in the order of their rows."""
        for item in sealed:
            self._newest_row = item.row
            if self._all_read:
                self._cursor = item.row
            if self._is_alarm(item):
                self._alarms.append(item)
            elif item.envelope.live:
                self._live.append(item)
                self._live_bytes += len(item.envelope.body)
            elif self._all_read:
                self._cursor = item.row - 1
                self._all_read = False
        while self._live_bytes > self.tuning.live_bytes:
            self._forget_oldest(self._live)
        while len(self._alarms) > MAX_ALARMS:
            self._forget_oldest(self._alarms)

    def wants_rows_after(self) -> int | None:
        """The row behind which the outbox is to be read next; None while that is not needed."""
        if self._backlog or self._all_read:
            return None
        self._asked_at_row = self._newest_row
        return self._cursor

    def rows(self, after_row: int, found: Sequence[Queued], *, last: bool) -> None:
        """What was read behind `after_row`; `last`: there is nothing more."""
        if after_row != self._cursor:  # the cursor went back meanwhile
            return
        known = {item.row for item in self._live} | {item.row for item in self._alarms}
        for item in found:
            if (
                item.row not in known
                and item.row not in self._unacknowledged
                and not self._acks.covers(item.envelope.id)
            ):
                first = self._is_alarm(item) and len(self._alarms) < MAX_ALARMS
                (self._alarms if first else self._backlog).append(item)
        if found:
            self._cursor = found[-1].row
        if last:  # what was offered after the question may not be among what was found
            self._cursor = max(self._cursor, self._asked_at_row)
            self._all_read = self._newest_row <= self._cursor

    # What to do now.

    def next(self, now_ms: int, utc_ms: int) -> Queued | None:
        """The envelope to publish now, or None: see `wake_ms`."""
        self._age_live(utc_ms)
        if self._held_back(now_ms):
            return None
        item = self._pick(now_ms)
        if item is None or self._tokens_wait_ms(item, now_ms):
            return None
        self._start(item, now_ms)
        return item

    def wake_ms(self, now_ms: int) -> int | None:
        """When `next` may have something although nothing was told meanwhile; None: not by time alone."""
        times = [now_ms + self.tuning.live_age_ms] if self._live else []
        if self._blocked_until_ms > now_ms:
            return self._blocked_until_ms
        if self._in_flight >= self._max_in_flight():
            return None
        item = self._pick(now_ms)
        if item is not None:
            times.append(now_ms + max(1, self._tokens_wait_ms(item, now_ms)))
        times += [self._due_ms(sent) for sent in self._unacknowledged.values() if not sent.in_flight]
        return max(min(times), now_ms + 1) if times else None

    # What came of it.

    def done(self, row: int) -> None:
        """The nucleus took it; it waits for the cloud's word now."""
        sent = self._land(row)
        if sent is not None and sent.attempts > 1:
            self.counters.resent += 1
        else:
            self.counters.sent += 1
        self._retry_ms = self.tuning.retry_first_ms
        self._blocked_until_ms = 0

    def failed(self, row: int, now_ms: int) -> None:
        """The nucleus cannot take anything now; back off."""
        self.counters.offline += 1
        sent = self._land(row)
        if sent is not None and sent.attempts == 1:
            self._remove(row)
            front = self._live if sent.item.envelope.live else self._backlog
            front = self._alarms if self._is_alarm(sent.item) else front
            front.appendleft(sent.item)
            self._live_bytes += len(sent.item.envelope.body) if front is self._live else 0
        if now_ms >= self._blocked_until_ms:  # those in flight together fail once
            self._blocked_until_ms = now_ms + self._retry_ms
            self._retry_ms = min(2 * self._retry_ms, self.tuning.retry_max_ms)

    def refused(self, row: int) -> None:
        """The nucleus will not take this one; it is tried again as if lost, for the reason may go away."""
        self.counters.refused += 1
        self._land(row)

    def acknowledge(self, ack: Ack, now_ms: int) -> int:
        """Take in the cloud's word; returns how many envelopes it freed."""
        self._acks.note(ack)
        freed = [row for row, sent in self._unacknowledged.items() if covers(ack, sent.item.envelope.id)]
        for row in freed:
            self._remove(row)
        waiting = len(self._backlog) + len(self._live) + len(self._alarms)
        self._backlog = deque(item for item in self._backlog if not covers(ack, item.envelope.id))
        self._live = deque(item for item in self._live if not covers(ack, item.envelope.id))
        self._alarms = deque(item for item in self._alarms if not covers(ack, item.envelope.id))
        self._live_bytes = sum(len(item.envelope.body) for item in self._live)
        count = len(freed) + waiting - len(self._backlog) - len(self._live) - len(self._alarms)
        if count:
            self._progressed(now_ms)
        self.counters.acknowledged += count
        return count

    def settle(self, row: int, ack: Ack, now_ms: int) -> None:
        """The nucleus took it, and that is all that is waited for; `ack` is all that it took of its epoch."""
        self._acks.note(ack)
        if row in self._unacknowledged:
            self._remove(row)
            self.counters.acknowledged += 1
        self._progressed(now_ms)

    # The parts.

    def _held_back(self, now_ms: int) -> bool:
        return now_ms < self._blocked_until_ms or self._in_flight >= self._max_in_flight()

    def _max_in_flight(self) -> int:
        """One alone while the nucleus last said no, so that it is asked and not stormed."""
        return 1 if self._retry_ms > self.tuning.retry_first_ms else self.tuning.max_in_flight

    def _pick(self, now_ms: int) -> Queued | None:
        if self._alarms and self._has_room(self._alarms[0], 1.0):
            return self._alarms[0]
        again = self._due_again(now_ms)
        live = self._live[0] if self._live and self._has_room(self._live[0], 1.0) else None
        part = self.tuning.backlog_part
        old = self._backlog[0] if self._backlog and self._has_room(self._backlog[0], part) else None
        if live is not None and not (self._credit >= 1 and (again or old)):
            return live
        return again or old

    def _has_room(self, item: Queued, part: float) -> bool:
        size_bytes = self._unacknowledged_bytes + len(item.envelope.body)
        return size_bytes <= self.tuning.max_unacknowledged_bytes * part

    def _due_again(self, now_ms: int) -> Queued | None:
        for sent in self._unacknowledged.values():
            if not sent.in_flight and now_ms >= self._due_ms(sent):
                return sent.item
        return None

    @staticmethod
    def _is_alarm(item: Queued) -> bool:
        return item.envelope.id.stream == "alarms"

    def _due_ms(self, sent: _Sent) -> int:
        """When to send it again. While nothing at all is acknowledged, one envelope is sent as a probe at
        growing intervals; the others wait, because they may still lie in the nucleus.
        """
        first_ms = self.tuning.resend_after_ms
        if self._progress_ms is not None and self._progress_ms >= sent.sent_ms:
            wait_ms = min(first_ms << min(sent.attempts - 1, 8), self.tuning.resend_max_ms)
            return max(sent.sent_ms, self._resumed_ms) + wait_ms
        since_ms = max(self._probed_ms, self._progress_ms or 0)
        return max(sent.sent_ms + first_ms, since_ms + self._probe_after_ms)

    def _tokens_wait_ms(self, item: Queued, now_ms: int) -> int:
        size_bytes = len(item.envelope.body)
        return max(self._publishes.wait_ms(1, now_ms), self._bytes.wait_ms(size_bytes, now_ms))

    def _start(self, item: Queued, now_ms: int) -> None:
        self._publishes.take(1, now_ms)
        self._bytes.take(len(item.envelope.body), now_ms)
        self._in_flight += 1
        sent = self._unacknowledged.pop(item.row, None)
        if sent is not None:
            if self._progress_ms is None or self._progress_ms < sent.sent_ms:
                self._probed_ms = now_ms
                self._probe_after_ms = min(2 * self._probe_after_ms, self.tuning.resend_max_ms)
            sent.sent_ms, sent.in_flight, sent.attempts = now_ms, True, sent.attempts + 1
            self._unacknowledged[item.row] = sent
            self._credit = max(0.0, self._credit - 1)
            return
        if self._alarms and self._alarms[0] is item:
            self._alarms.popleft()
        elif self._live and self._live[0] is item:
            self._live.popleft()
            self._live_bytes -= len(item.envelope.body)
            self._credit = min(1.0, self._credit + self.tuning.backlog_share)
        else:
            self._backlog.popleft()
            self._credit = max(0.0, self._credit - 1)
        self._unacknowledged[item.row] = _Sent(item, now_ms)
        self._unacknowledged_bytes += len(item.envelope.body)

    def _land(self, row: int) -> _Sent | None:
        self._in_flight -= 1
        sent = self._unacknowledged.get(row)
        if sent is not None:
            sent.in_flight = False
        return sent

    def _remove(self, row: int) -> None:
        sent = self._unacknowledged.pop(row)
        self._unacknowledged_bytes -= len(sent.item.envelope.body)

    def _progressed(self, now_ms: int) -> None:
        silent = self._progress_ms is None or now_ms - self._progress_ms >= self.tuning.resend_after_ms
        if silent:
            self._resumed_ms = now_ms
        self._progress_ms = now_ms
        # Word from the cloud says that there is a connection: what was backing off may try at once.
        self._blocked_until_ms = 0
        self._probe_after_ms = self.tuning.resend_after_ms

    def _age_live(self, utc_ms: int) -> None:
        while self._live and utc_ms - self._live[0].sealed_ms > self.tuning.live_age_ms:
            self._forget_oldest(self._live)

    def _forget_oldest(self, waiting: deque[Queued]) -> None:
        """Leave it to the outbox: it will be read again as backlog."""
        item = waiting.popleft()
        self._live_bytes -= len(item.envelope.body) if waiting is self._live else 0
        if item.row <= self._cursor:
            self._cursor = min([item.row, *(waiting.row for waiting in self._backlog)]) - 1
            self._backlog.clear()
            self._all_read = False
