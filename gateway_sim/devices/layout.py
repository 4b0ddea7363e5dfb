"""Which devices a plant has: the plant room of the story, or many equal meters for benchmarks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from gateway_sim.devices.maps import Block, boiler_main, meter_fast, meter_slow, room_air
from gateway_sim.devices.plantfile import PlantError, Setting
from gateway_sim.devices.settings import BOILER_SETTINGS

BAUDRATE = 19200
DEVICES_MAX = 1000


@dataclass(frozen=True, slots=True)
class DeviceLayout:
    """A device before it listens anywhere."""

    name: str
    transport: Literal["tcp", "rtu"]
    unit: int
    blocks: tuple[Block, ...]
    settings: tuple[Setting, ...] = ()
    profile: str | None = None


@dataclass(frozen=True, slots=True)
class Size:
    """A plant of equal meters: `devices` of `tags` tags each (the counter included) every `interval_s`."""

    devices: int
    tags: int
    interval_s: float


SCALES: Mapping[str, Size | None] = {
    "demo": None,
    "1k": Size(10, 100, 1.0),
    "10k": Size(10, 100, 0.1),
    "50k": Size(50, 100, 0.1),
}
"""Named sizes, by values per second; `demo` is the plant room."""


def plant_room(seed: int) -> list[DeviceLayout]:
    """The story's plant room, about 2,080 values/s.

    A grid meter, a solar inverter's meter, a boiler, and a transmitter of the room's air as anybody buys it.
    """
    return [
        DeviceLayout(name, "tcp", 1, (meter_fast(seed, name, sign, 0.1), meter_slow(seed, name, sign, 1.0)))
        for name, sign in (("meter-a", 1), ("meter-b", -1))
    ] + [
        DeviceLayout("boiler", "rtu", 7, (boiler_main(seed, "boiler", 1.0),), BOILER_SETTINGS),
        DeviceLayout("room", "rtu", 1, (room_air(seed, "room", 2.0),), profile="xy-md02"),
    ]


def uniform(seed: int, size: Size) -> list[DeviceLayout]:
    """`size.devices` grid meters on Modbus TCP; raises PlantError for a size that cannot be."""
    if not 1 <= size.devices <= DEVICES_MAX:
        raise PlantError(f"a plant has 1 to {DEVICES_MAX} devices, not {size.devices}")
    if size.interval_s <= 0:
        raise PlantError(f"the interval must be longer than 0 s, not {size.interval_s}")
    return [
        DeviceLayout(name, "tcp", 1, (meter_fast(seed, name, 1, size.interval_s, size.tags),))
        for name in (f"meter-{number:03d}" for number in range(1, size.devices + 1))
    ]
