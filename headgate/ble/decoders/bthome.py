"""BTHome v2 in service data 0xFCD2, plain or encrypted (bthome.io/format, bthome.io/encryption)."""

from __future__ import annotations

from dataclasses import dataclass

from headgate.ble.decoders.quantity import (
    BASE_UUID,
    Advert,
    Decode,
    Packet,
    Profile,
    Quantity,
    by_tag,
)
from headgate.errors import Reject

SERVICE = BASE_UUID.format(0xFCD2)
VERSION = 2
PACKET_ID = "packet_id"
ENCRYPTED = 0x01
VERSION_SHIFT = 5
"""The first byte: bit 0 encrypted, bit 2 sent on events only, bits 5 to 7 the version."""
MOST_ALIKE = 4
"""A packet may hold several objects of one tag; the second is `temperature_2`, and so on."""

_MEASURED = (
    Quantity(PACKET_ID, "1"),
    Quantity("battery", "%"),
    Quantity("temperature", "°C", 2),
    Quantity("humidity", "%", 2),
    Quantity("pressure", "hPa", 2),
    Quantity("illuminance", "lx", 2),
    Quantity("mass", "kg", 2),
    Quantity("mass_lb", "lb", 2),
    Quantity("dew_point", "°C", 2),
    Quantity("count", "1"),
    Quantity("energy", "kWh", 3),
    Quantity("power", "W", 2),
    Quantity("voltage", "V", 3),
    Quantity("pm2_5", "ug/m3"),
    Quantity("pm10", "ug/m3"),
    Quantity("co2", "ppm"),
    Quantity("tvoc", "ug/m3"),
    Quantity("moisture", "%", 2),
    Quantity("button"),
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
    Quantity("direction", "deg", 2),
    Quantity("precipitation", "mm", 1),
    Quantity("channel"),
    Quantity("rotational_speed", "1/min"),
    Quantity("light_level"),
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
BASE = by_tag(*_MEASURED, *(Quantity(tag, boolean=True) for tag in _BINARY.values()))


@dataclass(frozen=True, slots=True)
class Object:
    """One object: its size, its sign, and by what its integer is multiplied to get the tag's raw integer."""

    tag: str
    size_bytes: int
    signed: bool = False
    factor: int = 1


OBJECTS = {
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
    0x3A: Object("button", 1),
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
    **{number: Object(tag, 1) for number, tag in _BINARY.items()},
}
SKIPPED = {0x3C: 2, 0xF0: 2, 0xF1: 4, 0xF2: 3}
"""Objects that are no measurements (dimmer events, device type and firmware version), with their sizes."""
COUNTED = frozenset({0x53, 0x54})
"""Text and raw bytes: the next byte is their length."""

QUANTITIES = {
    **BASE,
    **{
        f"{tag}_{n}": Quantity(f"{tag}_{n}", each.unit, each.decimals, each.boolean)
        for tag, each in BASE.items()
        for n in range(2, MOST_ALIKE + 1)
        if tag != PACKET_ID
    },
}


def decode(data: bytes) -> Packet:
    """Read plain service data. Raises Reject for another version, for encrypted and for cut data."""
    info = _device_info(data)
    if info & ENCRYPTED:
        raise Reject("BTHome: the packet is encrypted; give the device's bind_key")
    return decode_objects(data[1:])


def decode_objects(data: bytes, counter: int | None = None) -> Packet:
    """Read objects, each its id and its little-endian integer, to the end or to one that is not known.

    Raises Reject when one is cut: then nothing of the packet can be relied on.
    """
    raw: dict[str, int | None] = {}
    at, unknown = 0, None
    while at < len(data):
        number = data[at]
        known = OBJECTS.get(number)
        size = known.size_bytes if known else _size_of_other(data, at)
        if size is None:
            unknown = number
            break
        content = data[at + 1 : at + 1 + size]
        if len(content) < size:
            raise Reject(f"BTHome: object 0x{number:02x} at byte {at} is cut in {data.hex()}")
        at += 1 + size
        if known:
            value = int.from_bytes(content, "little", signed=known.signed) * known.factor
            tag = _free_tag(known.tag, raw)
            if tag is not None:
                raw[tag] = value
    return Packet(raw, raw.get(PACKET_ID), counter, unknown)


def make_decode(address: str, key: bytes | None) -> Decode:
    """See `quantity.MakeDecode`. With a key, plain packets are refused: anyone could have sent them."""
    if key is None:
        return _plain
    # Late, and only with a key: `cryptography` costs several MB.
    from headgate.ble.decoders.bthome_key import BindKey

    opener = BindKey(key, address)

    def decode_encrypted(advert: Advert) -> Packet | None:
        data = advert.service_data.get(SERVICE)
        if data is None:
            return None
        if not _device_info(data) & ENCRYPTED:
            raise Reject("BTHome: a plain packet, although the device has a bind_key")
        objects, counter = opener.open(data)
        return decode_objects(objects, counter)

    return decode_encrypted


def _plain(advert: Advert) -> Packet | None:
    data = advert.service_data.get(SERVICE)
    return None if data is None else decode(data)


def _device_info(data: bytes) -> int:
    if not data:
        raise Reject("BTHome: empty service data")
    if data[0] >> VERSION_SHIFT != VERSION:
        raise Reject(f"BTHome: version {data[0] >> VERSION_SHIFT}, only version {VERSION} is known")
    return data[0]


def _size_of_other(data: bytes, at: int) -> int | None:
    """Bytes after the id of an object that gives no value; None when its size is not known."""
    if data[at] not in COUNTED:
        return SKIPPED.get(data[at])
    return 1 + (data[at + 1] if at + 1 < len(data) else 0)


def _free_tag(tag: str, taken: dict[str, int | None]) -> str | None:
    """The tag, or with the next number where it is taken; None beyond what has a series."""
    if tag not in taken:
        return tag
    return next((f"{tag}_{n}" for n in range(2, MOST_ALIKE + 1) if f"{tag}_{n}" not in taken), None)


PROFILE = Profile(
    "bthome",
    QUANTITIES,
    (PACKET_ID, "temperature", "humidity", "battery"),
    make_decode,
    count_tag=PACKET_ID,
    selects=True,
    encrypts=True,
)
