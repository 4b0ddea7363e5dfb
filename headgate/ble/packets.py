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
    """What was last taken from one device. Forgotten at a restart: then the first packet heard is new."""

    __slots__ = ("_boot_ms", "_counter", "_id", "_raw", "repeats", "replays")

    def __init__(self) -> None:
        self.repeats = 0
        self.replays = 0
        self._counter: int | None = None
        self._id: int | None = None
        self._raw: Mapping[str, Raw] | None = None
        self._boot_ms = 0

    def is_new(self, packet: Packet, boot_ms: int) -> bool:
        """Whether to take a packet heard at a boottime; if so it is what the next one is compared with."""
        counter = packet.counter
        if counter is not None and self._counter is not None:
            if counter == self._counter:
                self.repeats += 1
                return False
            if counter < self._counter and not _turned(self._counter, counter):
                self.replays += 1
                return False
        self._counter = counter
        if self._repeats(packet, boot_ms):
            self.repeats += 1
            return False
        self._id, self._boot_ms = packet.id, boot_ms
        # What a packet says is kept only where nothing else tells it from the next one.
        self._raw = packet.raw if packet.id is None and counter is None else None
        return True

    def _repeats(self, packet: Packet, boot_ms: int) -> bool:
        if packet.id is not None:
            return packet.id == self._id
        return packet.counter is None and packet.raw == self._raw and boot_ms - self._boot_ms < REPEAT_MS


def _turned(before: int, now: int) -> bool:
    return before >= COUNTER_END - COUNTER_TURN and now < COUNTER_TURN
