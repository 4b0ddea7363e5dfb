"""Devices on a private bus that advertise at a steady rate, every packet new, for whoever discovers.

    python -m bench._ble_air DEVICES PER_S DIR

Writes `{"bus": ADDRESS, "devices": [...]}` (rows of a site document) when they can be heard, and for each
line on standard input `{"sent": n}`: packets signalled so far. Thirds: BTHome plain, encrypted, RuuviTag.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from gateway_sim.ble import daemon
from gateway_sim.ble.bluetoothd import Bluetoothd
from gateway_sim.ble.conditions import Conditions
from gateway_sim.ble.record import SentRecord
from gateway_sim.ble.ruuvi import AXES
from gateway_sim.ble.sensors import Raws, crowd
from gateway_sim.ble.site import ble_device
from gateway_sim.ble.station import Station

TICK_S = 0.01
NOWHERE = Path("/dev/null")


def raws(ruuvi: bool, count: int) -> Raws:
    """What packet `count` says: something else than the one before."""
    climate = {"temperature": 2000 + count % 1000, "humidity": 4000 + count % 997}
    if not ruuvi:
        return {"packet_id": count % 256, "battery": 90, **climate}
    climate = {"temperature": 5 * (4000 + count % 1000), "humidity": 25 * (16_000 + count % 997)}
    axes = dict.fromkeys(AXES, count % 50)
    rest = {"pressure": 100_000 + count % 99, "battery_voltage": 2_900, "tx_power": 4, "movement_counter": 3}
    return {"measurement_sequence": count % 65_535, **climate, **axes, **rest}


class Air:
    """All devices in turn, as many of them a second as they send together."""

    def __init__(self, stations: Sequence[Station], per_s: float) -> None:
        self.sent = 0
        self._stations = stations
        self._per_s = per_s

    async def send(self, bluetoothd: Bluetoothd) -> None:
        start_s, due = time.monotonic(), 0
        while True:
            await asyncio.sleep(TICK_S)
            until = int((time.monotonic() - start_s) * self._per_s)
            for number in range(due, until):
                if bluetoothd.adapter.listens:
                    self._one(bluetoothd, number)
            due = until

    def _one(self, bluetoothd: Bluetoothd, number: int) -> None:
        count, index = divmod(number, len(self._stations))
        station = self._stations[index]
        packet = station.sensor.advertise(count, raws(station.device.profile == "ruuvi5", count))
        bluetoothd.adapter.carry(station, packet, -60 - count % 20)
        self.sent += 1


async def _run(devices: int, per_s: float, directory: Path) -> None:
    record = SentRecord(NOWHERE)
    stations = [Station(sensor, record, lambda: 0, 0, 1) for sensor in crowd(1, devices, 0)]
    async with daemon.running(directory) as address, asyncio.TaskGroup() as tasks:
        by_path = {station.path: station for station in stations}
        bluetoothd = Bluetoothd(address, by_path, tasks, lambda on, why: None, Conditions())
        await bluetoothd.start()
        air = Air(stations, per_s)
        sending = tasks.create_task(air.send(bluetoothd), name="air")
        rows = [ble_device(station.device) for station in stations]
        print(json.dumps({"bus": address, "devices": rows}), flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps({"sent": air.sent}), flush=True)
        sending.cancel()
        await bluetoothd.stop("the end")


if __name__ == "__main__":
    asyncio.run(_run(int(sys.argv[1]), float(sys.argv[2]), Path(sys.argv[3])))
