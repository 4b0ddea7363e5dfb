"""BTHome v2 in service data 0xFCD2, plain or encrypted (bthome.io/format, bthome.io/encryption)."""

from __future__ import annotations

from collections.abc import Callable

from headgate.ble.decoders.bthome_forms import Forms
from headgate.ble.decoders.bthome_objects import NUMBERS, PACKET_ID, QUANTITIES
from headgate.ble.decoders.bthome_special import SPECIAL, Alike, content_bounds
from headgate.ble.decoders.quantity import (
    BASE_UUID,
    Content,
    Packet,
    Profile,
    Raw,
    Sealed,
    address_bytes,
)
from headgate.errors import Reject

SERVICE = BASE_UUID.format(0xFCD2)
VERSION = 2
ENCRYPTED = 0x01
VERSION_SHIFT = 5
"""The first byte: bit 0 encrypted, bit 2 sent on events only, bits 5 to 7 the version."""
UUID_BYTES = bytes.fromhex("d2fc")
"""The service's UUID as on the air, part of the nonce."""
_NUMBERS: dict[int, tuple[str, int, bool, int]] = {number: (*each,) for number, each in NUMBERS.items()}
"""As plain tuples, which are taken apart in half the time of named ones."""


def decode(data: bytes) -> Packet:
    """Read plain service data. Raises Reject for another version, for encrypted and for cut data."""
    _refuse_sealed(data)
    return decode_objects(data, 1)


def decode_objects(data: bytes, at: int = 0, counter: int | None = None) -> Packet:
    """Read objects, each its id and its content, from `at` to the end or to one that is not known.

    Raises Reject when one is cut: then nothing of the packet can be relied on.
    """
    raw: dict[str, Raw] = {}
    alike: Alike | None = None
    end, unknown = len(data), None
    while at < end:
        number = data[at]
        known = _NUMBERS.get(number)
        if known is not None:
            tag, size, signed, factor = known
            start = at + 1
            at = start + size
            if at > end:
                raise _cut(data, start - 1)
            value = int.from_bytes(data[start:at], "little", signed=signed) * factor
            if alike is None and tag not in raw:
                raw[tag] = value
            else:
                alike = alike or Alike(raw)
                alike.add(tag, value)
        elif number in SPECIAL:
            alike = alike or Alike(raw)
            at = _read_special(data, at, alike)
        else:
            unknown = number
            break
    packet_id = raw.get(PACKET_ID)
    doubtful = alike.doubtful if alike else ()
    return Packet.of(raw, packet_id if isinstance(packet_id, int) else None, counter, unknown, "", doubtful)


def make_read(address: str, key: bytes | None) -> Callable[[bytes], Packet]:
    """See `quantity.Content`. With a key, plain packets are refused: anyone could have sent them."""
    if key is None:
        return _read_plain
    # Late, and only with a key: `cryptography` costs several MB.
    from headgate.ble.decoders.bind_key import BindKey

    opener = BindKey(key, "BTHome")
    mac_and_service = address_bytes(address) + UUID_BYTES

    def read_encrypted(data: bytes) -> Packet:
        if not _device_info(data) & ENCRYPTED:
            raise Reject("BTHome: a plain packet, although the device has a bind_key")
        objects, counter = opener.open_counted(data, 1, mac_and_service + data[:1])
        return _FORMS.decode(objects, 0, counter)

    return read_encrypted


_FORMS = Forms(decode_objects)


def _read_plain(data: bytes) -> Packet:
    _refuse_sealed(data)
    return _FORMS.decode(data, 1, None)


def _refuse_sealed(data: bytes) -> None:
    if _device_info(data) & ENCRYPTED:
        raise Sealed("BTHome: the packet is encrypted; give the device's bind_key")


def _device_info(data: bytes) -> int:
    if not data:
        raise Reject("BTHome: empty service data")
    if data[0] >> VERSION_SHIFT != VERSION:
        raise Reject(f"BTHome: version {data[0] >> VERSION_SHIFT}, only version {VERSION} is known")
    return data[0]


def _read_special(data: bytes, at: int, alike: Alike) -> int:
    """Read an object that is no plain integer; return where the next one begins."""
    tag, _, read = SPECIAL[data[at]]
    start, stop = content_bounds(data, at)
    if stop > len(data):
        raise _cut(data, at)
    alike.add(tag, read(data[start:stop]))
    return stop


def _cut(data: bytes, at: int) -> Reject:
    return Reject(f"BTHome: object 0x{data[at]:02x} at byte {at} is cut in {data.hex()}")


CONTENT = Content(make_read, SERVICE)
make_decode = CONTENT.make_decode
PROFILE = Profile(
    "bthome",
    QUANTITIES,
    (PACKET_ID, "temperature", "humidity", "battery"),
    make_decode,
    count_tag=PACKET_ID,
    selects=True,
    encrypts=True,
    content=CONTENT,
)
