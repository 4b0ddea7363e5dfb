"""Opens encrypted BTHome v2 packets: AES-CCM with the device's bind key (bthome.io/encryption)."""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from headgate.errors import Reject

KEY_BYTES = 16
COUNTER_BYTES = 4
MIC_BYTES = 4
UUID_BYTES = bytes.fromhex("d2fc")
"""Service 0xFCD2 as on the air, part of the nonce."""


class BindKey:
    """The key of one device. `address` is AA:BB:CC:DD:EE:FF, which goes into each packet's nonce."""

    def __init__(self, key: bytes, address: str) -> None:
        self._cipher = AESCCM(key, tag_length=MIC_BYTES)
        self._address = bytes.fromhex(address.replace(":", ""))

    def open(self, data: bytes) -> tuple[bytes, int]:
        """The objects in encrypted service data, and the packet's counter.

        Raises Reject when the data is cut, or the key is not the one that it was sealed with.
        """
        tail = COUNTER_BYTES + MIC_BYTES
        if len(data) < 1 + tail:
            raise Reject(f"BTHome: {len(data)} B are too short for an encrypted packet")
        info, sealed, counter, mic = data[:1], data[1:-tail], data[-tail:-MIC_BYTES], data[-MIC_BYTES:]
        nonce = self._address + UUID_BYTES + info + counter
        try:
            objects = self._cipher.decrypt(nonce, sealed + mic, None)
        except InvalidTag:
            raise Reject("BTHome: the packet does not open with this bind_key") from None
        return objects, int.from_bytes(counter, "little")
