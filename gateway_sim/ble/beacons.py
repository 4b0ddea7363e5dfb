"""Packets of beacons and thermometers as these make them: Eddystone TLM, iBeacon, ATC and pvvx, RuuviTag 3.

Each function gives service or manufacturer data without its UUID or company id; numbers are the formats' own.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers.aead import AESCCM

EDDYSTONE_UUID = "0000feaa-0000-1000-8000-00805f9b34fb"
ATC_UUID = "0000181a-0000-1000-8000-00805f9b34fb"
BTHOME1_UUID = "0000181c-0000-1000-8000-00805f9b34fb"
APPLE, RUUVI = 0x004C, 0x0499


def eddystone_tlm(battery_mv: int, temperature_256: int, adverts: int, tenths: int) -> bytes:
    """Unencrypted telemetry; the temperature in 1/256 °C (github.com/google/eddystone)."""
    return bytes([0x20, 0x00]) + struct.pack(">HhII", battery_mv, temperature_256, adverts, tenths)


def ibeacon(proximity: bytes, major: int, minor: int, power_dbm: int) -> bytes:
    """A proximity beacon; `proximity` are the 16 B of its UUID."""
    return bytes([0x02, 0x15]) + proximity + struct.pack(">HHb", major, minor, power_dbm)


def ruuvi3(centi_c: int, half_pct: int, pascal: int, axes_mg: tuple[int, int, int], battery_mv: int) -> bytes:
    """RuuviTag data format 3: a temperature is its sign, its degrees and its hundredths."""
    degrees, hundredths = divmod(abs(centi_c), 100)
    sign = 0x80 if centi_c < 0 else 0
    head = bytes([3, half_pct, sign | degrees, hundredths])
    return head + struct.pack(">HhhhH", pascal - 50_000, *axes_mg, battery_mv)


@dataclass(frozen=True, slots=True)
class Thermometer:
    """What a thermometer with atc1441's or pvvx's firmware shows."""

    mac: bytes
    centi_c: int
    centi_pct: int
    battery_mv: int
    battery_pct: int
    count: int
    flags: int = 0

    def atc(self) -> bytes:
        """atc1441's form: tenths of a degree, whole percents, high byte first."""
        tenths, percent = self.centi_c // 10, self.centi_pct // 100
        return self.mac + struct.pack(
            ">hBBHB", tenths, percent, self.battery_pct, self.battery_mv, self.count
        )

    def pvvx(self) -> bytes:
        """pvvx's form: hundredths, low byte first, and so its address."""
        shown = self.centi_c, self.centi_pct, self.battery_mv, self.battery_pct, self.count, self.flags
        return self.mac[::-1] + struct.pack("<hHHBBB", *shown)

    def sealed_pvvx(self, key: bytes) -> bytes:
        """pvvx's form under a bind key."""
        content = struct.pack("<hHBB", self.centi_c, self.centi_pct, self.battery_pct, self.flags)
        return self._sealed(key, content)

    def sealed_atc(self, key: bytes) -> bytes:
        """atc1441's form under a bind key: half degrees from -40 on, half percents."""
        halves = (self.centi_c + 4_000) // 50, self.centi_pct // 50
        return self._sealed(key, bytes([*halves, self.battery_pct | (self.flags >> 1 & 1) << 7]))

    def _sealed(self, key: bytes, content: bytes) -> bytes:
        count = bytes([self.count])
        size = 3 + len(count) + len(content) + 4
        nonce = self.mac[::-1] + bytes([size, 0x16]) + bytes.fromhex("1a18") + count
        return count + AESCCM(key, tag_length=4).encrypt(nonce, content, b"\x11")


def bthome1(*objects: tuple[int, int, int, bool]) -> bytes:
    """BTHome v1: objects as id, value, size in bytes, signed."""
    return b"".join(
        bytes([signed << 5 | 1 + size, number]) + value.to_bytes(size, "little", signed=signed)
        for number, value, size, signed in objects
    )
