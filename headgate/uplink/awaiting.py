"""What was handed to the nucleus and is not known to be in the cloud, and when to send it again. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import dataclass

from headgate.model import Ack
from headgate.store.state import Queued
from headgate.uplink.acks import covers
from headgate.uplink.pacing import UplinkTuning


@dataclass(slots=True)
class Sent:
    """One envelope that waits for the cloud's word; `sent_ms` (boot) is the last attempt."""

    item: Queued
    sent_ms: int
    attempts: int = 1
    in_flight: bool = True


class Awaiting:
    """By row, the longest waiting first.

    While nothing at all is acknowledged, one envelope is sent as a probe at growing intervals; the others
    wait, because they may still lie in the nucleus.
    """

    def __init__(self, tuning: UplinkTuning) -> None:
        self._tuning = tuning
        self._sent: dict[int, Sent] = {}
        self.size_bytes = 0
        self.in_flight = 0
        self._progress_ms: int | None = None
        self._resumed_ms = 0
        self._probe_after_ms = tuning.resend_after_ms
        self._probed_ms = 0

    def tune(self, tuning: UplinkTuning) -> None:
        """Other times from now on."""
        self._tuning = tuning
        self._probe_after_ms = tuning.resend_after_ms

    def __contains__(self, row: int) -> bool:
        return row in self._sent

    def start(self, item: Queued, now_ms: int) -> None:
        """It is being published, for the first time or again."""
        self.in_flight += 1
        sent = self._sent.pop(item.row, None)
        if sent is None:
            self._sent[item.row] = Sent(item, now_ms)
            self.size_bytes += len(item.envelope.body)
            return
        if self._progress_ms is None or self._progress_ms < sent.sent_ms:
            self._probed_ms = now_ms
            self._probe_after_ms = min(2 * self._probe_after_ms, self._tuning.resend_max_ms)
        sent.sent_ms, sent.in_flight, sent.attempts = now_ms, True, sent.attempts + 1
        self._sent[item.row] = sent

    def land(self, row: int) -> Sent | None:
        """Its publish has ended; None where the cloud's word was faster."""
        self.in_flight -= 1
        sent = self._sent.get(row)
        if sent is not None:
            sent.in_flight = False
        return sent

    def remove(self, row: int) -> None:
        """It waits no more."""
        self.size_bytes -= len(self._sent.pop(row).item.envelope.body)

    def forget(self, rows: Set[int]) -> None:
        """These wait no more, whether they are here or not."""
        for row in rows & self._sent.keys():
            self.remove(row)

    def acknowledge(self, ack: Ack) -> int:
        """Remove what the cloud holds; returns how many envelopes."""
        freed = [row for row, sent in self._sent.items() if covers(ack, sent.item.envelope.id)]
        for row in freed:
            self.remove(row)
        return len(freed)

    def progressed(self, now_ms: int) -> None:
        """The cloud acknowledged something: there is a connection."""
        silent = self._progress_ms is None or now_ms - self._progress_ms >= self._tuning.resend_after_ms
        if silent:
            self._resumed_ms = now_ms
        self._progress_ms = now_ms
        self._probe_after_ms = self._tuning.resend_after_ms

    def due(self, now_ms: int) -> Iterator[Queued]:
        """What is to be sent again now."""
        return (
            sent.item for sent in self._sent.values() if not sent.in_flight and now_ms >= self._due_ms(sent)
        )

    def due_times_ms(self) -> list[int]:
        """When each that is not being published is to be sent again."""
        return [self._due_ms(sent) for sent in self._sent.values() if not sent.in_flight]

    def _due_ms(self, sent: Sent) -> int:
        first_ms = self._tuning.resend_after_ms
        if self._progress_ms is not None and self._progress_ms >= sent.sent_ms:
            wait_ms = min(first_ms << min(sent.attempts - 1, 8), self._tuning.resend_max_ms)
            return max(sent.sent_ms, self._resumed_ms) + wait_ms
        since_ms = max(self._probed_ms, self._progress_ms or 0)
        return max(sent.sent_ms + first_ms, since_ms + self._probe_after_ms)
