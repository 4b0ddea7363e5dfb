"""Which packet, or which read, an arrived sample stands for: it is the radio's record that says so."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from gateway_sim.ble.blefile import BleDevice, Radio
from gateway_sim.checker.heard import ADVERTS
from gateway_sim.checker.telemetry import EARLY_MS, LATE_MS, GroupCheck, Row
from gateway_sim.devices.plantfile import Group, Tag

MODULO = {"packet_id": 256, "measurement_sequence": 65_535, "count": 256}
"""How far a packet's first tag counts before it starts again (docs/wire.md)."""
CLOSE_MS = 50
"""Reads of one characteristic that lie closer than this are told apart by their values."""
UNCHECKED = ("rssi",)
"""Tags that nobody records."""


def checks_of(radio: Radio) -> Iterator[GroupCheck]:
    """What there is to check of each sensor."""
    for device in radio.devices:
        if device.is_read:
            yield from (ReadCheck(device.name, _group(device, tag.name, [tag.name])) for tag in device.tags)
        else:
            yield PacketCheck(device.name, _group(device, ADVERTS, [tag.name for tag in device.tags]))


def unchecked_of(radio: Radio) -> set[str]:
    """Series that may arrive and are not judged."""
    return {f"{device.name}/{tag}" for device in radio.devices for tag in UNCHECKED}


class PacketCheck(GroupCheck):
    """Packets of one sensor: the first tag is the packet's count, modulo something."""

    bus, kind = "ble", "packets"

    def counts(self, t_ms: int, row: Row) -> list[int]:
        """The packets near in time that carry the number which arrived; one only, or none is meant."""
        times, found = self._timeline(), []
        modulo = MODULO[self.group.counter]
        for number in row.counters():
            near = [count for count in times.near(t_ms) if count % modulo == number]
            found.append(near[0] if len(near) == 1 else -1)
        return found

    def _timeline(self) -> Timeline:
        return Timeline.of(self)


class ReadCheck(GroupCheck):
    """Reads of one characteristic. No value tells which read it is: the nearest in time is meant."""

    bus, kind = "ble", "reads"

    def counts(self, t_ms: int, row: Row) -> list[int]:
        """One read: a device answers one at a time, so that what comes twice with one time is doubled."""

        def off_ms(count: int) -> int:
            return abs(self.polls[count].t_ms - t_ms)

        near = sorted(Timeline.of(self).near(t_ms), key=off_ms)
        if not near:
            return [-1]
        # A read may be answered between another one and its sample's time: of such the value tells.
        close = [count for count in near if off_ms(count) <= off_ms(near[0]) + CLOSE_MS]
        return [next((count for count in close if self.polls[count].raws[0] == row.raws[0]), near[0])]


class Timeline:
    """A check's polls in order of time. Made once for as many polls as there are."""

    def __init__(self, check: GroupCheck) -> None:
        ordered = sorted((poll.t_ms, count) for count, poll in check.polls.items())
        self.size = len(ordered)
        self._times = [t_ms for t_ms, _ in ordered]
        self._counts = [count for _, count in ordered]

    @staticmethod
    def of(check: GroupCheck) -> Timeline:
        known = check.timeline
        if not isinstance(known, Timeline) or known.size != len(check.polls):
            known = check.timeline = Timeline(check)
        return known

    def near(self, t_ms: int) -> Sequence[int]:
        """Those that a sample of this time may stand for."""
        first = bisect_left(self._times, t_ms - LATE_MS)
        end = bisect_left(self._times, t_ms + EARLY_MS + 1)
        return self._counts[first:end]


def _group(device: BleDevice, name: str, tags: Sequence[str]) -> Group:
    rows = [Tag(tag.name, 0, "int32", tag.decimals, tag.unit) for tag in device.tags if tag.name in tags]
    return Group(name, device.interval_s, "input", 0, 0, rows[0].name, tuple(rows))
