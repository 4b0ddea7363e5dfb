"""The driver with bleak as installed, on the simulated radio: every packet once, reads, what it survives."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway_sim.ble.blefile import Radio, sent_path
from gateway_sim.ble.radio import running
from gateway_sim.ble.sensors import building
from gateway_sim.ble.site import ble_section
from headgate.ble.driver import BleDriver
from headgate.clock import SystemClock
from headgate.driver import Refused, Reply, Request
from headgate.model import Frame, Quality

ROUNDS = 4
WAIT_S = 20.0
ESS = "workshop"


class Air:
    """A driver on a radio, and the frames that it emitted."""

    def __init__(self, radio: Radio, directory: Path, control: Any) -> None:
        self.radio = radio
        self.directory = directory
        self.control = control
        self.notices: list[str] = []
        self.driver = BleDriver(SystemClock(), notice=self.notices.append)
        self.frames: list[Frame] = []
        self._more = asyncio.Event()

    def emit(self, frame: Frame) -> None:
        self.frames.append(frame)
        self._more.set()

    async def until_all(self, names: set[str]) -> None:
        """Wait until each of some series has a good value from now on."""
        start = len(self.frames)
        await self.until(lambda: names <= {name for name, _ in self.good(start)})

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait for something that frames bring about."""
        async with asyncio.timeout(WAIT_S):
            while not holds():
                self._more.clear()
                await self._more.wait()

    def good(self, start: int = 0) -> list[tuple[str, object]]:
        table = self.driver.table()
        return [
            (table[index].name, value)
            for frame in self.frames[start:]
            for i, (index, value) in enumerate(zip(frame.series, frame.values, strict=True))
            if not frame.quality or frame.quality[i] == Quality.GOOD
        ]

    def sent(self, name: str) -> list[dict[str, Any]]:
        """What the radio says it sent and the bus carried."""
        lines = sent_path(self.directory, name).read_text("utf-8").splitlines()
        return [row for row in map(json.loads, lines) if row.get("heard", True)]

    async def read(self, **args: object) -> Reply:
        return await self.driver.call(Request("r", 1, "read", args, 1 << 50, "direct"))


@asynccontextmanager
async def on_air(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Air]:
    async with running(building(1), tmp_path, seed=1) as (radio, control):
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", radio.bus_address)
        air = Air(radio, tmp_path, control)
        section = ble_section(radio)
        for device in section["devices"]:
            if device["name"] in (ESS, "loft"):
                device["interval_s"] = 1.0
                device["timeout_s"] = 2.0
        air.driver.apply(air.driver.plan(section))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(air.driver.run(air.emit))
            try:
                yield air
            finally:
                air.driver.stop()
                await task


async def test_every_packet_arrives_once_with_its_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with on_air(tmp_path, monkeypatch) as air:
        for _ in range(ROUNDS):
            await air.until_all({series for device in air.radio.devices for series in device.series()})
    for device in air.radio.devices:
        scale = {tag.name: 10**tag.decimals for tag in device.tags}
        rows = {(row["kind"], row["count"]): row["raw"] for row in air.sent(device.name)}
        sent = Counter(
            (f"{device.name}/{tag}", raw / scale[tag])
            for raws in rows.values()
            for tag, raw in raws.items()
            if tag in scale
        )
        got = Counter((name, value) for name, value in air.good() if name.startswith(f"{device.name}/"))
        late = sent - got  # what was on its way when the scan ended
        assert not got - sent
        assert sum(late.values()) <= len(device.tags), (device.name, late)
        assert sum(got.values()) >= ROUNDS * len(device.tags)


async def test_a_read_on_demand_gives_series_and_characteristics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with on_air(tmp_path, monkeypatch) as air:
        await air.until_all({"office/temperature", f"{ESS}/temperature"})
        reply = await air.read(
            series=["office/temperature", f"{ESS}/pressure"],
            characteristics=[
                {"device": ESS, "characteristic": "2A6E"},
                {"device": ESS, "characteristic": "2a19"},
            ],
        )
        assert (reply.status, reply.code) == ("ok", "ok")
        assert reply.result is not None
        office, pressure = reply.result["values"]
        assert (office["unit"], office["quality"], pressure["unit"]) == ("°C", 0, "Pa")
        assert 80_000 < pressure["value"] < 120_000
        there, missing = reply.result["characteristics"]
        assert len(bytes.fromhex(there["hex"])) == 2
        assert "hex" not in missing
        assert "no characteristic" in missing["error"]
        with pytest.raises(Refused, match="there is no series"):
            await air.read(series=["office/nothing"])
        with pytest.raises(Refused, match="no BLE device"):
            await air.read(characteristics=[{"device": "nobody", "characteristic": "2A6E"}])


async def test_a_hung_read_is_bad_comm_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async with on_air(tmp_path, monkeypatch) as air:
        await air.until_all({f"{ESS}/temperature"})
        air.control.hang_reads(True)
        await air.until(lambda: any(Quality.BAD_COMM in frame.quality for frame in air.frames))
        air.control.hang_reads(False)
        await air.until_all({f"{ESS}/temperature", "office/temperature"})
        assert any("no answer in time" in notice for notice in air.notices)


@pytest.mark.parametrize("how", ["clean", "killed"])
async def test_values_flow_again_after_bluetoothd_restarts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    async with on_air(tmp_path, monkeypatch) as air:
        await air.until_all({"office/temperature"})
        await air.control.restart(how)  # of one that was killed the adapter must be switched off and on
        await air.until_all({"office/temperature", "cold-store/pressure", f"{ESS}/temperature"})
