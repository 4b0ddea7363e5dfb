"""BTHome v2 service data, plain and encrypted, as a sensor makes it (https://bthome.io)."""

from __future__ import annotations

from collections.abc import Mapping

from cryptography.hazmat.primitives.ciphers.aead import AESCCM

SERVICE_UUID = "0000fcd2-0000-1000-8000-00805f9b34fb"
UUID_BYTES = bytes.fromhex("d2fc")
PLAIN, ENCRYPTED = 0x40, 0x41
"""The device information byte: version 2 in the three high bits, encryption in the lowest."""
MIC_BYTES = 4
OBJECTS: Mapping[str, tuple[int, int, bool]] = {
    "packet_id": (0x00, 1, False),
    "battery": (0x01, 1, False),
    "temperature": (0x02, 2, True),
    "humidity": (0x03, 2, False),
}
"""By tag: object id, size in bytes, signed; little-endian (https://bthome.io/format)."""


def measurements(raws: Mapping[str, int]) -> bytes:
    """The objects of a packet in the order of their ids, as the format asks."""
    parts = sorted((OBJECTS[tag], raw) for tag, raw in raws.items())
    return b"".join(
        bytes([number]) + raw.to_bytes(size, "little", signed=signed) for (number, size, signed), raw in parts
    )


def service_data(raws: Mapping[str, int]) -> bytes:
    """A plain packet's service data for 0xFCD2."""
    return bytes([PLAIN]) + measurements(raws)


def encrypted_service_data(
    raws: Mapping[str, int], *, key: bytes, address: bytes, counter: int, information: int = ENCRYPTED
) -> bytes:
    """An encrypted packet: `key` 16 B, `address` the MAC's 6 B as it is written, `counter` unsigned 32 bits.

    AES-CCM over the nonce address, UUID, device information, counter; a tag of 4 B, no associated data.
    """
    count = counter.to_bytes(4, "little")
    nonce = address + UUID_BYTES + bytes([information]) + count
    sealed = AESCCM(key, tag_length=MIC_BYTES).encrypt(nonce, measurements(raws), None)
    return bytes([information]) + sealed[:-MIC_BYTES] + count + sealed[-MIC_BYTES:]
