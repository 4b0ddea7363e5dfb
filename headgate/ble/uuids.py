"""How a UUID may be written: its 128 bits, or the 16 that the Bluetooth SIG assigned."""

from __future__ import annotations

import re

from headgate.ble.decoders.quantity import BASE_UUID

UUID_HINT = 'as "FEAA" or "0000feaa-0000-1000-8000-00805f9b34fb", in quotes'
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_SHORT_UUID = re.compile(r"(?:0x)?([0-9a-f]{4})")


def full_uuid(text: str) -> str | None:
    """A 128-bit UUID, given as that or as 16 bits (`2A6E`); None where it is neither."""
    lower = text.lower()
    short = _SHORT_UUID.fullmatch(lower)
    if short:
        return BASE_UUID.format(int(short[1], 16))
    return lower if _UUID.fullmatch(lower) else None
