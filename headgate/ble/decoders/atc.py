"""Thermometers with the firmware of atc1441 or pvvx: service data 0x181A, plain and sealed.

Sources: github.com/atc1441/ATC_MiThermometer (README, "Advertising format") and, for all else,
github.com/pvvx/ATC_MiThermometer (README, "Bluetooth Advertising Formats"; of sealed packets issue 94). The
length tells the form.
"""

from __future__ import annotations

import struct

from headgate.ble.decoders.quantity import (
    BASE_UUID,
    Advert,
    Decode,
    Packet,
    Profile,
    Quantity,
    Raw,
    Sealed,
    address_bytes,
    by_tag,
    celsius,
    percent,
)
from headgate.errors import Reject

SERVICE = BASE_UUID.format(0x181A)
COUNTER = "counter"
_ATC = struct.Struct(">6shBBHB")
_PVVX = struct.Struct("<6shHHBB")
_PVVX_FLAGS = _PVVX.size + 1
"""Firmware for sensors without a trigger pin leaves out the flags."""
_SEALED_ATC, _SEALED_PVVX = 8, 11
_ATC_CONTENT, _PVVX_CONTENT = struct.Struct("<BBB"), struct.Struct("<hHBB")
HEADER = b"\x11"
"""Authenticated with every sealed packet."""
SERVICE_DATA_16, UUID_BYTES = 0x16, bytes.fromhex("1a18")
"""The nonce has the element of the advertisement as on the air: its size, type and UUID, then the counter."""

QUANTITIES = by_tag(
    Quantity(COUNTER, "1"),
    celsius("temperature", 2),
    percent("humidity", 2),
    percent("battery"),
    Quantity("battery_voltage", "V", 3),
    Quantity("reed_switch", form="bool"),
    Quantity("trigger", form="bool"),
)


def decode(data: bytes, address: bytes) -> Packet:
    """Read plain service data. Raises Reject for another length; a packet of another sender is doubtful.

    `address`: the sender's, 6 B.
    """
    if len(data) == _ATC.size:
        mac, temperature, humidity, battery, voltage, count = _ATC.unpack(data)
        return _packet(count, temperature * 10, humidity * 100, battery, voltage, None, mac, address)
    if len(data) in (_PVVX.size, _PVVX_FLAGS):
        mac, temperature, humidity, voltage, battery, count = _PVVX.unpack_from(data)
        flags = data[-1] if len(data) == _PVVX_FLAGS else None
        return _packet(count, temperature, humidity, battery, voltage, flags, mac[::-1], address)
    if len(data) in (_SEALED_ATC, _SEALED_PVVX):
        raise Sealed("ATC: the packet is encrypted; give the device's bind_key")
    raise Reject(f"ATC: {len(data)} B are of no known form")


def make_decode(address: str, key: bytes | None) -> Decode:
    """See `quantity.MakeDecode`. With a key, plain packets are refused: anyone could have sent them.

    Sealed packets have a counter of 8 bits, so a replay is not told from a packet that comes 256 later.
    """
    sender = address_bytes(address)
    if key is None:

        def decode_plain(advert: Advert) -> Packet | None:
            data = advert.service_data.get(SERVICE)
            return None if data is None else decode(data, sender)

        return decode_plain
    # Late, and only with a key: `cryptography` costs several MB.
    from headgate.ble.decoders.bind_key import BindKey

    opener = BindKey(key, "ATC", HEADER)

    def decode_sealed(advert: Advert) -> Packet | None:
        data = advert.service_data.get(SERVICE)
        if data is None:
            return None
        if len(data) not in (_SEALED_ATC, _SEALED_PVVX):
            if len(data) in (_ATC.size, _PVVX.size, _PVVX_FLAGS):
                raise Reject("ATC: a plain packet, although the device has a bind_key")
            raise Reject(f"ATC: {len(data)} B are of no known form")
        size = len(data) + len(UUID_BYTES) + 1
        nonce = sender[::-1] + bytes([size, SERVICE_DATA_16]) + UUID_BYTES + data[:1]
        content = opener.open(data[1:], nonce)
        if len(data) == _SEALED_PVVX:
            temperature, humidity, battery, flags = _PVVX_CONTENT.unpack(content)
            return _packet(data[0], temperature, humidity, battery, None, flags)
        half_degrees, half_percents, battery = _ATC_CONTENT.unpack(content)
        packet = _packet(data[0], half_degrees * 50 - 4_000, half_percents * 50, battery & 0x7F, None, None)
        return packet._replace(tags=(*packet.tags, "trigger"), raws=(*packet.raws, battery >> 7))

    return decode_sealed


def _packet(
    count: int,
    temperature: int,
    humidity: int,
    battery: int,
    voltage_mv: int | None,
    flags: int | None,
    mac: bytes = b"",
    address: bytes = b"",
) -> Packet:
    raw: dict[str, Raw] = {
        COUNTER: count,
        "temperature": temperature,
        "humidity": humidity,
        "battery": battery,
    }
    if voltage_mv is not None:
        raw["battery_voltage"] = voltage_mv
    if flags is not None:
        raw["reed_switch"] = flags & 1
        raw["trigger"] = flags >> 1 & 1
    return Packet.of(raw, count, doubt="" if mac == address else f"it names {mac.hex(':')} as its sender")


PROFILE = Profile(
    "atc",
    QUANTITIES,
    (COUNTER, "temperature", "humidity", "battery"),
    make_decode,
    count_tag=COUNTER,
    encrypts=True,
)
