"""Which packet, or which read, an arrived sample stands for: it is the radio's record that says so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gateway_sim.ble.blefile import BleDevice, Radio
from gateway_sim.checker.groups import GroupCheck, NearestCheck, Row, Timeline
from gateway_sim.checker.heard import ADVERTS
from gateway_sim.devices.plantfile import Group, Tag

MODULO = {"packet_id": 256, "measurement_sequence": 65_535, "count": 256}
"""How far a packet's first tag counts before it starts again (docs/wire.md)."""
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
        assert self.group.counter is not None
        modulo = MODULO[self.group.counter]
        for number in row.counters():
            near = [count for count in times.near(t_ms) if count % modulo == number]
            found.append(near[0] if len(near) == 1 else -1)
        return found

    def _timeline(self) -> Timeline:
        return Timeline.of(self)


class ReadCheck(NearestCheck):
    """Reads of one characteristic. No value tells which read it is."""

    bus, kind = "ble", "reads"


def _group(device: BleDevice, name: str, tags: Sequence[str]) -> Group:
    rows = [Tag(tag.name, 0, "int32", tag.decimals, tag.unit) for tag in device.tags if tag.name in tags]
    return Group(name, device.interval_s, "input", 0, 0, rows[0].name, tuple(rows))
