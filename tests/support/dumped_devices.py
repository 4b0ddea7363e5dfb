"""Dumped devices for tests: a meter with the registers of a profile, and one that says much of itself."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import yaml

METER_VALUES = {
    0: 230.5,
    6: 1.25,
    12: 287.0,
    18: 288.125,
    24: -20.5,
    30: 0.996,
    70: 50.01,
    72: 1234.5,
    74: 0.0,
    76: 3.5,
    78: 0.25,
    342: 1234.5,
    344: 3.75,
}
"""Input registers of an Eastron SDM120, float32, high word first."""
IDENTITY = {
    0: b"Example Instruments",
    1: b"EX-120",
    2: b"V1.07",
    3: b"https://example.com",
    4: b"Meter",
    5: b"EX-120/M",
    6: b"cabinet of Hall 7",
    0x80: b"SN 00471122",
    0x81: b"\x01\x02\xff",
    **{0x82 + i: bytes((65 + i,)) * 90 for i in range(6)},
}
"""More than one reply has room for."""


def stretches(values: dict[int, list[int]]) -> list[dict[str, Any]]:
    return [{"address": address, "values": words} for address, words in values.items()]


def words(value: float) -> list[int]:
    return list(struct.unpack(">HH", struct.pack(">f", value)))


def text_words(text: str) -> list[int]:
    data = text.encode() + b"\0" * (len(text) % 2)
    return [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)]


def meter(unit: int = 1, **more: Any) -> dict[str, Any]:
    """Single-phase, 0 to 79 and 342 to 345 in the input table, a text in the holding table."""
    low = [0] * 80
    for address, value in METER_VALUES.items():
        if address < 80:
            low[address : address + 2] = words(value)
    holding = {0: [7, 8, 9], 10: [0, *text_words("SN-4711-0815"), 0, 0x1234], 40: [1]}
    return {
        "schema": 1,
        "unit": unit,
        "identity": {"objects": []},
        "tables": {
            "holding": {
                "values": stretches(holding),
                "refused": [{"address": 3, "count": 7, "exception": 2}],
            },
            "input": {
                "values": stretches({0: low, 342: words(METER_VALUES[342]) + words(METER_VALUES[344])}),
                "refused": [{"address": 80, "count": 20, "exception": 3}],
            },
            "coil": {"values": stretches({0: [1, 0, 1, 1, 0, 0, 0, 0, 1]}), "refused": []},
        },
        "redacted": [],
        **more,
    }


def talkative(unit: int = 3) -> dict[str, Any]:
    """Says everything of itself, SunSpec marker included; has four registers beside."""
    objects = [{"id": number, "hex": value.hex()} for number, value in IDENTITY.items()]
    holding = {0: [1, 2, 3, 4], 40000: [0x5375, 0x6E53]}
    return {
        "schema": 1,
        "unit": unit,
        "identity": {"objects": objects, "conformity": 0x83, "server_id": b"\x07\xffSN 4711".hex()},
        "tables": {"holding": {"values": stretches(holding), "refused": []}},
        "redacted": [],
    }


def saved(document: dict[str, Any], path: Path) -> Path:
    path.write_text(yaml.safe_dump(document), encoding="utf-8")
    return path
