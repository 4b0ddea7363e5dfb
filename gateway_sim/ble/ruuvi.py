"""RuuviTag data format 5 (RAWv2) as a tag makes it (https://docs.ruuvi.com, "Data format 5")."""

from __future__ import annotations

import struct
from collections.abc import Mapping

MANUFACTURER_ID = 0x0499
SEQUENCE_LIMIT = 65_535
"""The sequence runs from 0 to 65,534; 65,535 says "not available"."""
MOVEMENT_LIMIT = 255
TEMPERATURE_STEP, HUMIDITY_STEP = 5, 25
"""A step is 0.005 °C and 0.0025 %: raws with 3 and 4 decimals are that many times the format's integer."""
PRESSURE_OFFSET_PA, BATTERY_OFFSET_MV, TX_OFFSET_DBM = 50_000, 1_600, 40
AXES = ("acceleration_x", "acceleration_y", "acceleration_z")


def manufacturer_data(raws: Mapping[str, int], address: bytes) -> bytes:
    """The 24 B that follow the manufacturer's id. `raws` are scaled as docs/wire.md says, all tags there;
    temperature and humidity must be whole steps. `address`: the MAC's 6 B."""
    temperature = raws["temperature"] // TEMPERATURE_STEP
    humidity = raws["humidity"] // HUMIDITY_STEP
    pressure = raws["pressure"] - PRESSURE_OFFSET_PA
    power = (raws["battery_voltage"] - BATTERY_OFFSET_MV) << 5 | (raws["tx_power"] + TX_OFFSET_DBM) // 2
    axes = [raws[axis] for axis in AXES]
    counts = raws["movement_counter"], raws["measurement_sequence"]
    return struct.pack(">BhHHhhhHBH", 5, temperature, humidity, pressure, *axes, power, *counts) + address
