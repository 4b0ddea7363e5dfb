"""Tells a device's new packets from repetitions and replays."""

from __future__ import annotations

from collections.abc import Mapping

from headgate.ble.decoders.quantity import Packet, Raw

REPEAT_MS = 1_000
"""Without an id, the same content again within this time is one packet heard twice."""
COUNTER_TURN = 100
"""A counter this near its end may start again from below as much: it has 32 bits."""
COUNTER_END = 1 << 32


class Freshness:
    """What was last taken from one device. Forgotten at a restart: then the first packet heard is new.

    `since_ms`: when the last new packet was heard.
    """

    __slots__ = ("_counter", "_id", "_raw", "repeats", "replays", "since_ms")

    def __init__(self) -> None:
        self.repeats = 0
        self.replays = 0
        self._counter: int | None = None
        self._id: int | None = None
        self._raw: Mapping[str, Raw] | None = None
        self.since_ms = 0

    def is_new(self, packet: Packet, boot_ms: int) -> bool:
        """Whether to take a packet heard at a boottime; if so it is what the next one is compared with."""
        number, counter, before = packet.id, packet.counter, self._counter
        if counter is not None and before is not None and counter <= before:
            if counter == before:
                self.repeats += 1
                return False
            if not _turned(before, counter):
                self.replays += 1
                return False
        self._counter = counter
        # What a packet says is kept only where nothing else tells it from the next one.
        told = number is not None or counter is not None
        if number == self._id if number is not None else not told and self._says_the_same(packet, boot_ms):
            self.repeats += 1
            return False
        self._id, self.since_ms = number, boot_ms
        self._raw = None if told else packet.raw
        return True

    def _says_the_same(self, packet: Packet, boot_ms: int) -> bool:
        return boot_ms - self.since_ms < REPEAT_MS and packet.raw == self._raw


def _turned(before: int, now: int) -> bool:
    return before >= COUNTER_END - COUNTER_TURN and now < COUNTER_TURN
