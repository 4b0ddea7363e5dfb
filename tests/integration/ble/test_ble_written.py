"""Writes over bleak to a device that can be set on the simulated radio, and every way in which they fail."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway_sim.ble.blefile import settings_path
from gateway_sim.ble.radio import RunningRadio, running
from gateway_sim.ble.sensors import room_thermostat
from gateway_sim.ble.site import ble_section
from headgate.ble.driver import BleDriver
from headgate.clock import SystemClock
from headgate.driver import Refused, Reply, Request

WAIT_S = 30.0
FACTORY = "cd000180"
"""20.5 °C, heating, keys free, and a bit that is the maker's own."""


class Thermostat:
    """The device, its radio, and a driver that polls it all the while."""

    def __init__(self, directory: Path, control: RunningRadio, driver: BleDriver) -> None:
        self.directory, self.control, self.driver = directory, control, driver

    async def write(self, **values: object) -> Reply:
        clock = SystemClock()
        rows = [{"series": f"thermostat/{tag}", "value": value} for tag, value in values.items()]
        request = Request("w", 1, "write", {"values": rows}, clock.utc_ms() + 40_000, "direct")
        async with asyncio.timeout(WAIT_S):
            return await self.driver.call(request)

    def written(self) -> list[tuple[str, bool]]:
        """The bytes that reached the device, and whether it was to confirm them."""
        lines = settings_path(self.directory, "thermostat").read_text("utf-8").splitlines()
        return [(row["hex"], row["response"]) for row in map(json.loads, lines) if row["kind"] == "write"]


@asynccontextmanager
async def thermostat(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, timeout_s: float = 1.5
) -> AsyncIterator[Thermostat]:
    async with running([room_thermostat(1)], tmp_path, seed=1) as (radio, control):
        monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", radio.bus_address)
        driver = BleDriver(SystemClock())
        section = ble_section(radio)
        section["devices"][0] |= {"interval_s": 0.5, "timeout_s": timeout_s}
        driver.apply(driver.plan(section))
        async with asyncio.TaskGroup() as group:
            task = group.create_task(driver.run(lambda frame: None))
            try:
                yield Thermostat(tmp_path, control, driver)
            finally:
                driver.stop()
                await task


def rows(reply: Reply) -> list[dict[str, Any]]:
    assert reply.result is not None
    found: list[dict[str, Any]] = reply.result["writes"]
    return found


async def test_values_are_written_and_those_beside_them_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with thermostat(tmp_path, monkeypatch) as device:
        reply = await device.write(setpoint=21.5, locked=True, mode="cooling", gain=0.25)
        assert (reply.status, reply.code, reply.detail) == ("ok", "ok", "")
        assert [(row["outcome"], row["old"], row["value"], row["unit"]) for row in rows(reply)] == [
            ("verified", 20.5, 21.5, "°C"),
            ("verified", False, True, ""),
            ("verified", "heating", "cooling", ""),
            ("verified", 1.5, 0.25, ""),
        ]
        assert all(abs(row["t"] - SystemClock().utc_ms()) < 60_000 for row in rows(reply)[:3])
        assert device.written() == [
            ("d7000180", True),
            ("d7000181", True),
            ("d7000281", True),
            ("0000803e", False),
        ]


@pytest.mark.parametrize(
    ("how", "outcome", "code", "said", "found"),
    [
        ("refuse", "not_written", "device_refused", "write_not_permitted", None),
        ("keep", "mismatch", "not_verified", "another value", 20.5),
        ("drop", "verified", "ok", "", None),
        ("lose", "unknown", "unknown", "whether it was written is not known", 20.5),
        ("hang", "unknown", "unknown", "no answer in time", 20.5),
    ],
)
async def test_a_write_that_fails_says_what_became_of_it_and_is_never_sent_again(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    how: Any,
    outcome: str,
    code: str,
    said: str,
    found: float | None,
) -> None:
    async with thermostat(tmp_path, monkeypatch) as device:
        device.control.writes(how)
        reply = await device.write(setpoint=21.5)
        (row,) = rows(reply)
        assert (row["outcome"], reply.code, row.get("found"), row["old"]) == (outcome, code, found, 20.5)
        assert said in row.get("error", "")
        assert device.written() == ([] if how == "refuse" else [("d7000180", True)])
        device.control.writes("take")
        before = 21.5 if how == "drop" else 20.5
        (row,) = rows(await device.write(setpoint=19.0))
        assert (row["outcome"], row["old"]) == ("verified", before)


async def test_nothing_is_sent_to_a_device_that_cannot_be_read_or_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with thermostat(tmp_path, monkeypatch, 1.2) as device:
        await device.write(setpoint=20.5)
        device.control.hang_reads(True)
        (row,) = rows(await device.write(mode="off"))
        assert row["outcome"] == "not_written"
        device.control.hang_reads(False)
        device.control.absent(["thermostat"])
        reply = await device.write(mode="off", locked=True)
        assert (reply.status, reply.code) == ("failed", "offline")
        assert [row["outcome"] for row in rows(reply)] == ["not_written", "not_written"]
        assert rows(reply)[1]["error"] == "a value before it failed"
        assert device.written() == [(FACTORY, True)]
        with pytest.raises(Refused, match="31 is out of range"):
            await device.write(setpoint=31)
