"""A sensor whose format is its maker's own: a tank's level, in manufacturer data of company 0x0BCD.

8 B, little-endian but for the temperature: 01, count, level in 0.1 mm (FFFF: none), temperature as
(°C + 40) * 100 with the high byte first, state in the low four bits, alarm in bit 3 of the last.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

COMPANY = 0x0BCD
FORMAT_NAME = "tank-level"
KIND = 0x01
NO_LEVEL = 0xFFFF
COUNTS = 256
ZERO_CENTI = 40_00
STATES = ("idle", "filling", "draining")
_STATES_BY_NUMBER = {str(number): state for number, state in enumerate(STATES)}
DESCRIPTION: Mapping[str, Any] = {
    "name": FORMAT_NAME,
    "company": COMPANY,
    "starts_with": "01",
    "length": 8,
    "packet_id": "count",
    "values": [
        {"name": "count", "at": 1, "type": "uint8"},
        {"name": "level", "at": 2, "type": "uint16", "scale": 0.1, "unit": "mm", "not_available": NO_LEVEL},
        {
            "name": "temperature",
            "at": 4,
            "type": "int16",
            "order": "big",
            "scale": 0.01,
            "offset": -40,
            "unit": "°C",
        },
        {"name": "state", "at": 6, "type": "uint8", "mask": 0x0F, "values": _STATES_BY_NUMBER},
        {"name": "alarm", "at": 7, "type": "bit", "bit": 3},
    ],
}
"""The format in the words of a site document."""


def manufacturer_data(raws: Mapping[str, int]) -> bytes:
    """The 8 B that follow the company's id. `raws`: `level` below 0 says that there is none."""
    level = raws["level"] if raws["level"] >= 0 else NO_LEVEL
    head = struct.pack("<BBH", KIND, raws["count"], level)
    temperature = struct.pack(">h", raws["temperature"] + ZERO_CENTI)
    return head + temperature + bytes([0xA0 | raws["state"], raws["alarm"] << 3])
