"""The objects of BTHome: what each id means, its size and its scale (bthome.io/format, of 2026-04-30)."""

from __future__ import annotations

from typing import NamedTuple

from headgate.ble.decoders.quantity import Quantity, by_tag, celsius, percent

PACKET_ID = "packet_id"
MOST_ALIKE = 4
"""A packet may hold several objects of one tag; the second is `temperature_2`, and so on."""

_MEASURED = (
    Quantity(PACKET_ID, "1"),
    percent("battery"),
    celsius("temperature", 2),
    percent("humidity", 2),
    Quantity("pressure", "hPa", 2),
    Quantity("illuminance", "lx", 2),
    Quantity("mass", "kg", 2),
    Quantity("mass_lb", "lb", 2),
    celsius("dew_point", 2),
    Quantity("count", "1"),
    Quantity("energy", "kWh", 3),
    Quantity("power", "W", 2),
    Quantity("voltage", "V", 3),
    Quantity("pm2_5", "ug/m3"),
    Quantity("pm10", "ug/m3"),
    Quantity("co2", "ppm"),
    Quantity("tvoc", "ug/m3"),
    percent("moisture", 2),
    Quantity("rotation", "deg", 1),
    Quantity("distance", "m", 3),
    Quantity("duration", "s", 3),
    Quantity("current", "A", 3),
    Quantity("speed", "m/s", 6),
    Quantity("uv_index", "", 1),
    Quantity("volume", "L", 3),
    Quantity("volume_flow", "m3/h", 3),
    Quantity("gas_volume", "m3", 3),
    Quantity("water", "L", 3),
    Quantity("timestamp", "s"),
    Quantity("acceleration", "m/s2", 6),
    Quantity("gyroscope", "deg/s", 3),
    Quantity("volume_storage", "L", 3),
    Quantity("conductivity", "uS/cm"),
    Quantity("direction", "deg", 2, low=0, high=360_00),
    Quantity("precipitation", "mm", 1),
    Quantity("channel"),
    Quantity("rotational_speed", "1/min"),
    Quantity("light_level", low=0, high=2),
    Quantity("settings_revision"),
    Quantity("text", form="text"),
    Quantity("raw", form="text"),
    Quantity("button", form="text"),
    Quantity("command", form="text"),
    Quantity("dimmer", "1"),
    Quantity("device_type"),
    Quantity("firmware", form="text"),
)
_BINARY = {
    0x0F: "generic",
    0x10: "power_on",
    0x11: "opening",
    0x15: "battery_low",
    0x16: "battery_charging",
    0x17: "carbon_monoxide",
    0x18: "cold",
    0x19: "connectivity",
    0x1A: "door",
    0x1B: "garage_door",
    0x1C: "gas",
    0x1D: "heat",
    0x1E: "light",
    0x1F: "lock",
    0x20: "wet",
    0x21: "motion",
    0x22: "moving",
    0x23: "occupancy",
    0x24: "plug",
    0x25: "presence",
    0x26: "problem",
    0x27: "running",
    0x28: "safety",
    0x29: "smoke",
    0x2A: "sound",
    0x2B: "tamper",
    0x2C: "vibration",
    0x2D: "window",
}
BASE = by_tag(*_MEASURED, *(Quantity(tag, form="bool", low=0, high=1) for tag in _BINARY.values()))
"""The quantities by tag."""
QUANTITIES = {
    **BASE,
    **{
        f"{tag}_{n}": Quantity(f"{tag}_{n}", each.unit, each.decimals, each.form, each.low, each.high)
        for tag, each in BASE.items()
        for n in range(2, MOST_ALIKE + 1)
        if tag != PACKET_ID
    },
}
"""Those, and the further ones of a packet that has several alike."""


class Object(NamedTuple):
    """One object: its size, its sign, and by what its integer is multiplied to get the tag's raw integer."""

    tag: str
    size_bytes: int
    signed: bool = False
    factor: int = 1


NUMBERS = {
    0x00: Object(PACKET_ID, 1),
    0x01: Object("battery", 1),
    0x02: Object("temperature", 2, True),
    0x03: Object("humidity", 2),
    0x04: Object("pressure", 3),
    0x05: Object("illuminance", 3),
    0x06: Object("mass", 2),
    0x07: Object("mass_lb", 2),
    0x08: Object("dew_point", 2, True),
    0x09: Object("count", 1),
    0x0A: Object("energy", 3),
    0x0B: Object("power", 3),
    0x0C: Object("voltage", 2),
    0x0D: Object("pm2_5", 2),
    0x0E: Object("pm10", 2),
    0x12: Object("co2", 2),
    0x13: Object("tvoc", 2),
    0x14: Object("moisture", 2),
    0x2E: Object("humidity", 1, factor=100),
    0x2F: Object("moisture", 1, factor=100),
    0x3D: Object("count", 2),
    0x3E: Object("count", 4),
    0x3F: Object("rotation", 2, True),
    0x40: Object("distance", 2),
    0x41: Object("distance", 2, factor=100),
    0x42: Object("duration", 3),
    0x43: Object("current", 2),
    0x44: Object("speed", 2, factor=10_000),
    0x45: Object("temperature", 2, True, 10),
    0x46: Object("uv_index", 1),
    0x47: Object("volume", 2, factor=100),
    0x48: Object("volume", 2),
    0x49: Object("volume_flow", 2),
    0x4A: Object("voltage", 2, factor=100),
    0x4B: Object("gas_volume", 3),
    0x4C: Object("gas_volume", 4),
    0x4D: Object("energy", 4),
    0x4E: Object("volume", 4),
    0x4F: Object("water", 4),
    0x50: Object("timestamp", 4),
    0x51: Object("acceleration", 2, factor=1_000),
    0x52: Object("gyroscope", 2),
    0x55: Object("volume_storage", 4),
    0x56: Object("conductivity", 2),
    0x57: Object("temperature", 1, True, 100),
    0x58: Object("temperature", 1, True, 35),
    0x59: Object("count", 1, True),
    0x5A: Object("count", 2, True),
    0x5B: Object("count", 4, True),
    0x5C: Object("power", 4, True),
    0x5D: Object("current", 2, True),
    0x5E: Object("direction", 2),
    0x5F: Object("precipitation", 2),
    0x60: Object("channel", 1),
    0x61: Object("rotational_speed", 2),
    0x62: Object("speed", 4, True),
    0x63: Object("acceleration", 4, True),
    0x64: Object("light_level", 1),
    0x65: Object("settings_revision", 1),
    0xF0: Object("device_type", 2),
    **{number: Object(tag, 1) for number, tag in _BINARY.items()},
}
"""The objects that are a little-endian integer each."""

BUTTON_EVENTS = {
    1: "press",
    2: "double_press",
    3: "triple_press",
    4: "long_press",
    5: "long_double_press",
    6: "long_triple_press",
    0x80: "hold_press",
    0x81: "hold_release",
}
"""0 is none: it only counts, so that the next is the second button's. 0x81 is sent, but not listed."""
COMMANDS = {0: "off", 1: "on", 2: "toggle", 3: "step_up", 4: "step_down"}
ROTATIONS = {1: -1, 2: 1}
"""Dimmer events: steps to the left count down, to the right up."""
