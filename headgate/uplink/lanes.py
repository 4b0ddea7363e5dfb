"""The classes of what the uplink sends, and what of each waits in memory. Pure.

The outbox's rows of a lane up to the cursor are in memory or done with; those behind it are read when their
turn comes. Live envelopes are kept apart, ahead of the lane `BACKLOG`, which is read past them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence, Set
from enum import IntEnum

from headgate.envelope import header
from headgate.model import Ack, Envelope
from headgate.store.state import EVERYTHING, OutboxPart, Queued
from headgate.uplink.acks import covers

MAX_WAITING = 64
"""Rows of one lane in memory; more are read from the outbox in their turn."""
OVERHEAD_BYTES = 120
"""Of a message beside topic and payload: MQTT, TLS record, TCP and IP headers, and the PUBACK's share."""


class Lane(IntEnum):
    """In the order of sending. `SCHEMAS`: what envelopes of codec compact are read by; they are few, short,
    and told once. `CONTEXT`: the samples around an alarm.
    """

    ALARMS = 0
    SCHEMAS = 1
    LIVE = 2
    CONTEXT = 3
    REPORTS = 4
    BACKLOG = 5


BULK = frozenset({Lane.REPORTS, Lane.BACKLOG})
"""What can wait for a cheap hour."""

REPORTS = ("reports", "health")
"""Streams of the lane of that name: what the gateway tells of itself never goes before its live data."""

SCHEMAS = OutboxPart(only=("reports",), live=False)
"""Reports that tell a schema: the outbox marks them so."""

ON_DISK: dict[Lane, OutboxPart] = {
    Lane.ALARMS: OutboxPart(only=("alarms",), samples=False),
    Lane.CONTEXT: OutboxPart(only=("alarms",), samples=True),
    Lane.SCHEMAS: SCHEMAS,
    Lane.REPORTS: OutboxPart(only=REPORTS, live=True),
    Lane.BACKLOG: OutboxPart(but=("alarms", *REPORTS)),
}
"""Which rows of the outbox a lane reads; live ones that were not sent in time are backlog."""


def lane_of(envelope: Envelope) -> Lane:
    """The lane of an envelope just sealed."""
    match envelope.id.stream:
        case "alarms":
            return Lane.CONTEXT if envelope.samples else Lane.ALARMS
        case "reports" | "health":
            return Lane.REPORTS if envelope.live else Lane.SCHEMAS
    return Lane.LIVE if envelope.live else Lane.BACKLOG


def wire_bytes(envelope: Envelope) -> int:
    """What one envelope costs the connection."""
    key = envelope.id
    return len(envelope.body) + len(header.topic(key.thing, key.stream, envelope.schema)) + OVERHEAD_BYTES


class LaneQueue:
    """One lane but `LIVE`, in the order of rows."""

    def __init__(self, part: OutboxPart = EVERYTHING) -> None:
        self.part = part
        self.items: deque[Queued] = deque()
        self._cursor = 0
        self._all_read = False
        self._newest_row = 0
        self._asked_at_row = 0

    def __iter__(self) -> Iterator[Queued]:
        return iter(self.items)

    @property
    def head(self) -> Queued | None:
        """What goes first."""
        return self.items[0] if self.items else None

    def offer(self, item: Queued) -> None:
        """Take in what was just sealed, or leave it to the outbox."""
        self._newest_row = item.row
        if self._all_read and len(self.items) < MAX_WAITING:
            self.items.append(item)
            self._cursor = item.row
        else:
            self._all_read = False

    def pass_over(self, row: int) -> None:
        """A row of this lane that was just sealed is kept elsewhere."""
        self._newest_row = row
        if self._all_read:
            self._cursor = row

    def go_back(self, row: int) -> None:
        """That row is kept elsewhere no more: read it again, in its turn."""
        if row <= self._cursor:
            self._cursor = min([row, *(item.row for item in self.items)]) - 1
            self.items.clear()
            self._all_read = False

    def wants_rows_after(self) -> int | None:
        """The row behind which this lane is to be read next; None while that is not needed."""
        if self.items or self._all_read:
            return None
        self._asked_at_row = self._newest_row
        return self._cursor

    def rows(
        self, after_row: int, found: Sequence[Queued], skip: Callable[[Queued], bool], *, last: bool
    ) -> None:
        """What was read behind `after_row`, less what is to be skipped; `last`: there is nothing more."""
        if after_row != self._cursor:  # the cursor went back meanwhile
            return
        here = {item.row for item in self.items}  # put back meanwhile
        self.items.extend(item for item in found if item.row not in here and not skip(item))
        if found:
            self._cursor = found[-1].row
        if last:  # what was offered after the question may not be among what was found
            self._cursor = max(self._cursor, self._asked_at_row)
            self._all_read = self._newest_row <= self._cursor

    def forget(self, ack: Ack) -> int:
        """Drop what the cloud holds; returns how many envelopes."""
        return drop_covered(self.items, ack)

    def forget_rows(self, rows: Set[int]) -> None:
        """Drop what is in the outbox no more."""
        self.items = deque(item for item in self.items if item.row not in rows)


def drop_covered(items: deque[Queued], ack: Ack) -> int:
    """Remove what an acknowledgement names; returns how many envelopes."""
    kept = [item for item in items if not covers(ack, item.envelope.id)]
    count = len(items) - len(kept)
    if count:
        items.clear()
        items.extend(kept)
    return count
