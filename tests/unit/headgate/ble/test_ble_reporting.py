"""What of a device's values is reported, when a silent one is marked, and the health as series."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway_sim.ble import bthome
from headgate.ble.air import GATHER_MS
from headgate.ble.config import parse_mapping
from headgate.ble.decoders.quantity import Advert
from headgate.ble.driver import BleDriver
from headgate.clock import ManualClock
from headgate.driver import Request
from headgate.errors import Reject
from headgate.model import Frame, Quality
from tests.support.ble_doubles import Bench

ADDRESS = "AA:BB:CC:DD:EE:FF"
STALE, GONE = int(Quality.STALE), int(Quality.BAD_COMM)


class World:
    """One BTHome sensor that is due every 10 s: stale after 60 s, gone after 300."""

    def __init__(self, section: dict[str, Any], device: dict[str, Any]) -> None:
        self.clock = ManualClock()
        self.bench = Bench(self.clock)
        self.notices: list[str] = []
        self.frames: list[Frame] = []
        self.sent = 0
        stack = lambda *_: (self.bench, self.bench)  # noqa: E731
        self.driver = BleDriver(self.clock, notice=self.notices.append, stack=stack)
        base = {"name": "d", "address": ADDRESS, "profile": "bthome", "interval_s": 10}
        devices = [base | {"measurements": ["temperature", "battery"]} | device]
        self.driver.apply(self.driver.plan({**section, "devices": devices}))

    async def send(self, temperature: int, *, packet_id: int | None = None, after_s: float = 10) -> None:
        """A packet some time after the last; battery is always 90 %."""
        await self.clock.advance(round(after_s * 1000) - GATHER_MS)
        self.sent += packet_id is None
        count = self.sent if packet_id is None else packet_id
        raws = {"packet_id": count, "battery": 90, "temperature": temperature}
        data = {bthome.SERVICE_UUID: bthome.service_data(raws)}
        self.bench.send(Advert(ADDRESS, self.clock.boot_ms(), -60, data))
        await self.clock.advance(GATHER_MS)

    def said(self, name: str) -> list[tuple[int, object, int]]:
        """All samples of a series: s, value, quality."""
        table = self.driver.table()
        return [
            (round(frame.boot_ms / 1000), value, frame.quality[i] if frame.quality else 0)
            for frame in self.frames
            for i, (index, value) in enumerate(zip(frame.series, frame.values, strict=True))
            if table[index].name == name
        ]


@asynccontextmanager
async def at_work(section: dict[str, Any] | None = None, **device: Any) -> AsyncIterator[World]:
    world = World(section or {}, device)
    async with asyncio.TaskGroup() as group:
        group.create_task(world.driver.run(world.frames.append))
        await world.clock.advance(0)
        yield world
        world.driver.stop()
        await world.clock.advance(1_000)


async def test_a_silent_device_is_stale_then_gone_on_time_and_then_well_again() -> None:
    async with at_work() as world:
        await world.send(2000)
        await world.clock.advance(1_000_000)
        marks = [(70, None, STALE), (310, None, GONE)]
        assert world.said("d/temperature") == [(10, 20.0, 0), *marks]
        assert world.said("d/packet_id")[1:] == world.said("d/battery")[1:] == marks
        assert [notice for notice in world.notices if notice.startswith("d:")] == [
            "d: silent for 60 s, stale",
            "d: silent for 300 s, bad_comm",
        ]
        assert dict(world.driver.health())["stale"] == 1
        reply = await world.driver.call(
            Request("r", 1, "read", {"series": ["d/temperature"]}, 1 << 50, "direct")
        )
        assert reply.result is not None
        assert reply.result["values"][0]["quality"] == GONE
        await world.send(2000, packet_id=1)  # the same packet: it is there again all the same
        assert world.said("d/temperature")[-1] == (1020, 20.0, 0)


async def test_a_device_that_was_never_heard_is_marked_as_well() -> None:
    async with at_work(stale_s=20, gone_s=30) as world:
        await world.clock.advance(100_000)
        assert world.said("d/battery") == [(20, None, STALE), (30, None, GONE)]


async def test_who_repeats_a_packet_is_there() -> None:
    async with at_work() as world:
        await world.send(2000)
        for _ in range(20):
            await world.send(2000, packet_id=1)
        assert len(world.said("d/temperature")) == 1


async def test_a_deadband_and_its_heartbeat() -> None:
    async with at_work(report=[{"tags": ["temperature"], "deadband": 0.5, "heartbeat_s": 60}]) as world:
        for temperature in (2000, 2030, 2050, 2051, 2000, 2000, 2000, 2000, 2000, 2000, 2000):
            await world.send(temperature)
        told = [(t, value) for t, value, _ in world.said("d/temperature")]
        assert told == [(10, 20.0), (40, 20.51), (50, 20.0), (110, 20.0)]
        assert len(world.said("d/battery")) == 11
        assert dict(world.driver.health())["unchanged"] == 7


async def test_a_minimum_interval_and_what_breaks_it() -> None:
    async with at_work(report=[{"min_interval_s": 30}]) as world:
        for temperature in (2000, 2100, 2200, 2300, 2400):
            await world.send(temperature)
        assert [t for t, _, _ in world.said("d/temperature")] == [10, 40]
        await world.clock.advance(60_000)
        await world.send(2500, after_s=1)
        assert world.said("d/temperature")[2:] == [(110, None, STALE), (111, 25.0, 0)]


async def test_health_as_series() -> None:
    async with at_work({"health_s": 60}) as world:
        for _ in range(12):
            await world.send(2000)
        assert [value for _, value, _ in world.said("_hci0/adverts_per_s")] == [0.1, 0.1]
        assert [value for _, value, _ in world.said("d/_packets")] == [6, 12]
        assert [value for _, value, _ in world.said("_hci0/scans")] == [1, 1]
        assert all(isinstance(value, int) and value > 3 for _, value, _ in world.said("_ble/fds"))


@pytest.mark.parametrize(
    ("device", "fault"),
    [
        ({"stale_s": 60, "gone_s": 50}, "50 is less than stale_s"),
        ({"report": [{"tags": ["pressure"]}]}, "'pressure' is no tag of this device"),
        ({"report": [{"heartbeat_s": 5}]}, "goes with deadband alone"),
        ({"profile": "ess", "tags": ["model"], "report": [{"deadband": 1}]}, "does not go with a text"),
        ({"name": "_hci0"}, "begins with _"),
    ],
)
def test_faults_of_rules_are_told(device: dict[str, Any], fault: str) -> None:
    base = {"name": "d", "address": ADDRESS, "profile": "bthome"}
    with pytest.raises(Reject, match="ble") as refused:
        parse_mapping({"devices": [base | device]})
    assert fault in str(refused.value)
