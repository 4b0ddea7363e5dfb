"""BTHome v1, the predecessor of v2: each object says its own form and length (bthome.io/v1)."""

from __future__ import annotations

import math
import struct
from types import EllipsisType

from headgate.ble.decoders.bthome_objects import BASE, NUMBERS, PACKET_ID, QUANTITIES
from headgate.ble.decoders.bthome_special import SPECIAL, Alike
from headgate.ble.decoders.quantity import (
    BASE_UUID,
    Advert,
    Decode,
    Packet,
    Profile,
    Raw,
    Sealed,
    address_bytes,
)
from headgate.errors import Reject

PLAIN = BASE_UUID.format(0x181C)
SEALED = BASE_UUID.format(0x181E)
UUID_BYTES = bytes.fromhex("1e18")
HEADER = b"\x11"
"""Authenticated with every sealed packet (bthome.io/encryption, of v1)."""
LENGTH_MASK, FORM_SHIFT = 0x1F, 5
"""An object's first byte: bits 0 to 4 how many bytes follow, bits 5 to 7 their form."""
UNSIGNED, SIGNED, FLOAT = range(3)
RAW_LIMIT = 1 << 63
"""An object may have 30 bytes; a series holds integers of 64 bits."""
_FLOATS = {2: struct.Struct("<e"), 4: struct.Struct("<f"), 8: struct.Struct("<d")}


def decode_objects(data: bytes, counter: int | None = None) -> Packet:
    """Read objects, each its length and form, its id and its content; those not known are stepped over.

    Raises Reject when one is cut: then nothing of the packet can be relied on.
    """
    raw: dict[str, Raw] = {}
    alike = Alike(raw)
    at = 0
    while at < len(data):
        form, stop = data[at] >> FORM_SHIFT, at + 1 + (data[at] & LENGTH_MASK)
        if stop > len(data) or stop < at + 2:
            raise Reject(f"BTHome v1: the object at byte {at} is cut in {data.hex()}")
        number, content = data[at + 1], data[at + 2 : stop]
        at = stop
        if number in SPECIAL:
            alike.add(SPECIAL[number][0], _special(number, content))
        elif number in NUMBERS:
            alike.add(NUMBERS[number].tag, _number(number, form, content))
    packet_id = raw.get(PACKET_ID)
    packet = Packet.of(raw, packet_id if isinstance(packet_id, int) else None, counter)
    return packet._replace(doubtful=alike.doubtful)


def make_decode(address: str, key: bytes | None) -> Decode:
    """See `quantity.MakeDecode`. With a key, plain packets are refused: anyone could have sent them."""
    if key is None:
        return _plain
    # Late, and only with a key: `cryptography` costs several MB.
    from headgate.ble.decoders.bind_key import BindKey

    opener = BindKey(key, "BTHome v1", HEADER)
    mac_and_service = address_bytes(address) + UUID_BYTES

    def decode_sealed(advert: Advert) -> Packet | None:
        data = advert.service_data.get(SEALED)
        if data is not None:
            return decode_objects(*opener.open_counted(data, 0, mac_and_service))
        if PLAIN in advert.service_data:
            raise Reject("BTHome v1: a plain packet, although the device has a bind_key")
        return None

    return decode_sealed


def _plain(advert: Advert) -> Packet | None:
    data = advert.service_data.get(PLAIN)
    if data is not None:
        return decode_objects(data)
    if SEALED in advert.service_data:
        raise Sealed("BTHome v1: the packet is encrypted; give the device's bind_key")
    return None


def _number(number: int, form: int, content: bytes) -> Raw:
    """The tag's raw integer; None where the form is none of a number, or it is too large."""
    factor, decimals = NUMBERS[number].factor, BASE[NUMBERS[number].tag].decimals
    if form in (UNSIGNED, SIGNED) and content:
        raw = int.from_bytes(content, "little", signed=form == SIGNED) * factor
        return raw if -RAW_LIMIT <= raw < RAW_LIMIT else None
    if form == FLOAT and len(content) in _FLOATS:
        value: float = _FLOATS[len(content)].unpack(content)[0] * factor
        # Of a double a whole number is left, as of an integer: all samples of a series have its decimals.
        return round(value) if math.isfinite(value) and abs(value) < 10 ** (15 - decimals) else None
    return None


def _special(number: int, content: bytes) -> Raw | EllipsisType:
    """What no plain integer says; None where it has not its size. Without steps a dimmer was not turned."""
    tag, size, read = SPECIAL[number]
    if tag == "dimmer":
        content = content.ljust(size, b"\0")
    if len(content) != size if size else not content:
        return None
    return read(content)


PROFILE = Profile(
    "bthome1",
    QUANTITIES,
    (PACKET_ID, "temperature", "humidity", "battery"),
    make_decode,
    count_tag=PACKET_ID,
    selects=True,
    encrypts=True,
)
