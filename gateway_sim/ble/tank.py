"""A sensor whose format is its maker's own: a tank's level, in manufacturer data of company 0x0BCD.

8 B, little-endian but for the temperature: 01, count, level in 0.1 mm (FFFF: none), temperature as
(°C + 40) * 100 with the high byte first, state in the low four bits, alarm in bit 3 of the last.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping

from gateway_sim.ble.blefile import BleDevice, BleTag
from gateway_sim.ble.sensors import Advertisement, Raws, Sensor
from gateway_sim.ble.story import Place, room, room_story

COMPANY = 0x0BCD
KIND = 0x01
NO_LEVEL = 0xFFFF
COUNTS = 256
ZERO_CENTI = 40_00
STATES = ("idle", "filling", "draining")
TAGS = (BleTag("count", "", 0), BleTag("level", "mm", 1), BleTag("temperature", "°C", 2))


def manufacturer_data(raws: Mapping[str, int]) -> bytes:
    """The 8 B that follow the company's id. `raws`: `level` below 0 says that there is none."""
    level = raws["level"] if raws["level"] >= 0 else NO_LEVEL
    head = struct.pack("<BBH", KIND, raws["count"], level)
    temperature = struct.pack(">h", raws["temperature"] + ZERO_CENTI)
    return head + temperature + bytes([0xA0 | raws["state"], raws["alarm"] << 3])


def tank(seed: int, name: str, address: str, interval_s: float = 1.0) -> Sensor:
    """A tank outdoors: its level goes up and down by a millimetre a packet."""
    story = room_story(seed, Place(name, 0.0, 105.0))

    def measure(count: int, t_s: float) -> Raws:
        return {
            "count": count % COUNTS,
            "level": 12_000 + 10 * abs(count % 400 - 200),
            "temperature": round(room(story, t_s).air_c * 100),
            "state": count % len(STATES),
            "alarm": int(count % 50 == 0),
        }

    def advertise(_: int, raws: Raws) -> Advertisement:
        return Advertisement(manufacturer_data={COMPANY: manufacturer_data(raws)})

    # Its profile is named by whoever describes the format; the records do not depend on it.
    device = BleDevice(name, address, "own", None, interval_s, TAGS)
    return Sensor(device, measure, advertise)
