"""A SunSpec device behind the bridge role: series that are found as it runs reach the hub by name."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path

from gateway_sim.devices.sunspec import plant, serving
from headgate.bridge.handover import Options
from headgate.bus.memory import MemoryBus
from headgate.clock import SystemClock
from headgate.config.accepted import store_accepted
from headgate.config.stateroot import StateRoot
from headgate.roles.bridge import bridge
from tests.support.hub_double import HubDouble


async def role(bus: MemoryBus, stop: asyncio.Event) -> None:
    await bridge("modbus", options=Options(flush_ms=20, stop_wait_ms=500))(bus, SystemClock(), stop)


async def test_series_that_are_found_later_reach_the_hub(tmp_path: Path) -> None:
    state, record = tmp_path / "state", tmp_path / "plant"
    record.mkdir()
    root = StateRoot(state)
    root.create()
    with plant(record, time.monotonic) as devices:
        async with serving(devices) as port:
            device = {
                "name": "pv",
                "transport": {"kind": "tcp", "host": "127.0.0.1", "port": port},
                "sunspec": {"interval_s": 0.05, "models": ["inverter", "mppt"], "points": ["W", "St", "DCW"]},
            }
            site = {"schema": 1, "modbus": {"devices": [device]}, "windows": {"length_s": 10}}
            store_accepted(root, json.dumps(site).encode())
            config = {"schema": "1", "stateRoot": str(state)}
            async with MemoryBus(config=config) as bus:
                hub, stop = HubDouble(bus), asyncio.Event()
                with hub.attached():
                    async with asyncio.TaskGroup() as group:
                        group.create_task(role(bus, stop))
                        batches = await hub.until(8)
                        rows = await hub.dictionary(batches[-1])
                        stop.set()
    assert sorted(rows) == [
        ["pv/inverter.DCW", "W", "f64", None, 1],
        ["pv/inverter.St", "", "text", None, 1],
        ["pv/inverter.W", "W", "f64", None, 1],
        ["pv/mppt.module1.DCW", "W", "f64", None, 1],
        ["pv/mppt.module2.DCW", "W", "f64", None, 1],
    ]
    names = [row[0] for row in rows]
    states = {
        frame.values[list(frame.series).index(names.index("pv/inverter.St"))]
        for batch in batches
        for frame in batch.frames
        if names.index("pv/inverter.St") in frame.series
    }
    assert states == {"MPPT"}
