"""Devices that pass by: packets of ever new random addresses that no gateway is told to listen to."""

from __future__ import annotations

import random

from gateway_sim.ble.bluetoothd import Bluetoothd
from gateway_sim.ble.sensors import Advertisement

COMPANY_ID = 0x004C
"""What most passers-by carry (Bluetooth assigned numbers)."""


class Strangers:
    """`per_s` new ones every second, each heard once."""

    def __init__(self, rng: random.Random) -> None:
        self.per_s = 0.0
        self._rng = rng
        self._owed = 0.0

    def pass_by(self, bluetoothd: Bluetoothd, seconds: float) -> None:
        """Those of the seconds since the last call."""
        self._owed += self.per_s * seconds
        while self._owed >= 1:
            self._owed -= 1
            # Resolvable private: the two highest bits are 01 (Core Specification, Vol 6, Part B, 1.3).
            octets = [self._rng.randrange(0x40, 0x80), *self._rng.randbytes(5)]
            address = ":".join(f"{octet:02X}" for octet in octets)
            advertisement = Advertisement(manufacturer_data={COMPANY_ID: self._rng.randbytes(8)})
            bluetoothd.overhear(address, advertisement, self._rng.randrange(-95, -40))
