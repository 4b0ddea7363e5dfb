"""Sensors that only the site document knows, on the simulated radio: an advertisement and characteristics."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
import yaml

from gateway_sim.ble.blefile import sent_path
from gateway_sim.ble.radio import running
from gateway_sim.ble.sensors import building
from headgate.ble.driver import BleDriver
from headgate.clock import SystemClock
from headgate.model import Frame

WAIT_S = 20.0
PACKETS, READS = 3, 2
SECTION = """
adapter: hci0
formats:
  - name: tank-level
    company: 0x0BCD
    starts_with: "01"
    length: 8
    packet_id: count
    values:
      - {name: count, at: 1, type: uint8}
      - {name: level, at: 2, type: uint16, scale: 0.1, unit: mm, not_available: 0xFFFF}
      - {name: temperature, at: 4, type: int16, order: big, scale: 0.01, offset: -40, unit: °C}
      - {name: state, at: 6, type: uint8, mask: 0x0F, values: {0: idle, 1: filling, 2: draining}}
  - name: air
    values:
      - {name: warmth, characteristic: "2A6E", type: int16, decimals: 2, unit: °C}
      - {name: pressure-high-word, characteristic: "2A6D", at: 2, type: uint16}
      - {name: pressure, characteristic: "2A6D", type: uint32, scale: 0.001, unit: hPa}
devices:
  - {name: tank, address: "C8:2A:10:00:00:09", profile: tank-level, tags: [level, temperature, state, rssi]}
  - {name: workshop, address: "E0:5A:1B:77:00:0C", profile: air, interval_s: 0.5, timeout_s: 5}
"""


async def test_values_of_described_sensors_are_those_that_were_sent(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    frames: list[Frame] = []
    more = asyncio.Event()

    def emit(frame: Frame) -> None:
        frames.append(frame)
        more.set()

    async with running(building(1), tmp_path, seed=1) as (radio, _):
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", radio.bus_address)
        driver = BleDriver(SystemClock())
        driver.apply(driver.plan(yaml.safe_load(SECTION)))

        def got(name: str) -> list[object]:
            table = driver.table()
            return [
                value
                for frame in frames
                for place, value in zip(frame.series, frame.values, strict=True)
                if table[place].name == name and not frame.quality
            ]

        async with asyncio.TaskGroup() as group:
            task = group.create_task(driver.run(emit))
            async with asyncio.timeout(WAIT_S):
                while len(got("tank/level")) < PACKETS or len(got("workshop/pressure")) < READS:
                    more.clear()
                    await more.wait()
            driver.stop()
            await task

    def sent(name: str) -> list[dict[str, int]]:
        lines = sent_path(tmp_path, name).read_text("utf-8").splitlines()
        return [row["raw"] for row in map(json.loads, lines)]

    packets = {raw["count"]: raw for raw in sent("tank")}
    counts = got("tank/count")
    assert len(counts) == len(set(counts)) >= PACKETS
    expected = [packets[count] for count in counts if isinstance(count, int)]
    assert got("tank/level") == [raw["level"] / 10 for raw in expected]
    assert got("tank/temperature") == [raw["temperature"] / 100 for raw in expected]
    assert got("tank/state") == [("idle", "filling", "draining")[raw["state"]] for raw in expected]
    assert all(isinstance(value, int) and -120 < value < 0 for value in got("tank/rssi"))
    reads = sent("workshop")
    warm = {raw["temperature"] / 100 for raw in reads if "temperature" in raw}
    high = {raw["pressure"] for raw in reads if "pressure" in raw}
    assert set(got("workshop/warmth")) <= warm
    assert set(got("workshop/pressure")) <= {raw / 1000 for raw in high}
    assert set(got("workshop/pressure-high-word")) <= {raw >> 16 for raw in high}
    assert len(got("workshop/pressure")) == len(got("workshop/pressure-high-word")) >= READS
