"""A room thermostat that can be set: an ESS sensor with two characteristics of its maker's that it keeps.

Settings, 4 B: set point in 0.1 °C (int16), mode, flags (bit 0: keys locked; bit 7: its maker's own).
Gain, 4 B: a float32. Both little-endian.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

FORMAT_NAME = "room-thermostat"
SETTINGS = "f0a10001-5c2e-4b6f-9d3a-7e0000000001"
GAIN = "f0a10002-5c2e-4b6f-9d3a-7e0000000001"
MODES = ("off", "heating", "cooling")


@dataclass(frozen=True, slots=True)
class Setting:
    """A characteristic that is read and written, and what it holds at first; its length stays."""

    uuid: str
    content: bytes


FACTORY_SETTINGS = (
    Setting(SETTINGS, struct.pack("<hBB", 205, 1, 0x80)),
    Setting(GAIN, struct.pack("<f", 1.5)),
)
DESCRIPTION: Mapping[str, Any] = {
    "name": FORMAT_NAME,
    "values": [
        {
            "name": "setpoint",
            "characteristic": SETTINGS,
            "type": "int16",
            "decimals": 1,
            "unit": "°C",
            "write": {"allow": True, "min": 5, "max": 30},
        },
        {
            "name": "mode",
            "characteristic": SETTINGS,
            "at": 2,
            "type": "uint8",
            "values": {str(number): mode for number, mode in enumerate(MODES)},
            "write": {"allow": True},
        },
        {
            "name": "locked",
            "characteristic": SETTINGS,
            "at": 3,
            "type": "bit",
            "bit": 0,
            "write": {"allow": True},
        },
        {
            "name": "gain",
            "characteristic": GAIN,
            "type": "float32",
            "write": {"allow": True, "response": False},
        },
        {"name": "temperature", "characteristic": "2A6E", "type": "int16", "decimals": 2, "unit": "°C"},
    ],
}
"""The format in the words of a site document."""
