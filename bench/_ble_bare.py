"""The floor: bleak alone, every advertisement counted and thrown away.

    python -m bench._ble_bare

The bus is DBUS_SYSTEM_BUS_ADDRESS. Writes `ready` when it scans and `{"adverts": n}` for each line on
standard input.
"""

from __future__ import annotations

import asyncio
import json
import sys

from bleak import BleakScanner
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData


class _Count:
    adverts = 0

    def __call__(self, device: BLEDevice, data: AdvertisementData) -> None:
        self.adverts += 1


async def _run() -> None:
    count = _Count()
    async with BleakScanner(count, bluez={"adapter": "hci0", "filters": {"DuplicateData": True}}):
        print("ready", flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps({"adverts": count.adverts}), flush=True)


if __name__ == "__main__":
    asyncio.run(_run())
