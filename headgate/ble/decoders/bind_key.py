"""Opens packets sealed with AES-CCM and a device's bind key; the only decoder that needs `cryptography`."""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM

from headgate.errors import Reject

COUNTER_BYTES = 4
MIC_BYTES = 4


class BindKey:
    """The 16 B key of one device. Every error begins with `format_name`; `header` is authenticated too."""

    def __init__(self, key: bytes, format_name: str, header: bytes | None = None) -> None:
        self._cipher = AESCCM(key, tag_length=MIC_BYTES)
        self._name = format_name
        self._header = header

    def open(self, sealed: bytes, nonce: bytes) -> bytes:
        """The content of `sealed`, which ends with its 4 B tag.

        Raises Reject when it is too short, or the key is not the one that it was sealed with.
        """
        if len(sealed) < MIC_BYTES:
            raise Reject(f"{self._name}: {len(sealed)} B are too short for an encrypted packet")
        try:
            return self._cipher.decrypt(nonce, sealed, self._header)
        except InvalidTag:
            raise Reject(f"{self._name}: the packet does not open with this bind_key") from None

    def open_counted(self, data: bytes, start: int, nonce: bytes) -> tuple[bytes, int]:
        """The content of `data` from `start`, and the counter that stands before its tag.

        `nonce` is what of it comes before the counter. Raises Reject as `open`.
        """
        tail = COUNTER_BYTES + MIC_BYTES
        if len(data) < start + tail:
            raise Reject(f"{self._name}: {len(data)} B are too short for an encrypted packet")
        counter = data[-tail:-MIC_BYTES]
        content = self.open(data[start:-tail] + data[-MIC_BYTES:], nonce + counter)
        return content, int.from_bytes(counter, "little")
