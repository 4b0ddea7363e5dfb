"""The cloud's scan at the BLE driver: no second scanner, nobody waits, wrong questions are refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway_sim.ble import bthome
from headgate.ble.decoders.quantity import Advert
from headgate.ble.driver import BleDriver
from headgate.clock import ManualClock
from headgate.driver import Refused, Reply, Request
from headgate.errors import Retry
from tests.support.ble_doubles import Bench

KNOWN, STRANGER = "AA:BB:CC:DD:EE:01", "AA:BB:CC:DD:EE:02"


class World:
    def __init__(self) -> None:
        self.clock = ManualClock()
        self.bench = Bench(self.clock)
        self.driver = BleDriver(self.clock, stack=lambda *_: (self.bench, self.bench))
        device = {"name": "hall", "address": KNOWN, "profile": "bthome"}
        self.driver.apply(self.driver.plan({"devices": [device]}))

    async def call(
        self, *, op: str = "scan", name: str = "r", within_ms: int = 600_000, **args: Any
    ) -> Reply:
        args = {"source": "ble", **args} if op == "scan" else args
        return await self.driver.call(Request(name, 1, op, args, self.clock.utc_ms() + within_ms, "direct"))

    async def hears(self, seconds: int) -> None:
        """Each second one packet of each device."""
        await self.clock.advance(0)
        for second in range(seconds):
            for address in (KNOWN, STRANGER):
                data = bthome.service_data({"packet_id": second, "temperature": 2000 + second})
                advert = Advert(address, self.clock.boot_ms(), -60, {bthome.SERVICE_UUID: data}, {}, "T1")
                self.bench.send(advert)
            await self.clock.advance(1_000)


@asynccontextmanager
async def at_work() -> AsyncIterator[World]:
    world = World()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(world.driver.run(lambda frame: None))
        await world.clock.advance(10)
        yield world
        world.driver.stop()
        await world.clock.advance(1_000)
        assert task.done()
    assert world.bench.overhear is None


async def test_it_hears_through_the_one_scan_and_reads_go_on() -> None:
    async with at_work() as world:
        assert (await world.call(seconds=5)).code == "started"
        await world.hears(3)
        read = await world.call(op="read", name="other", series=["hall/temperature"])
        assert read.result is not None
        assert read.result["values"][0]["value"] == 20.02
        assert (await world.call(seconds=5)).code == "started"
        await world.hears(3)
        reply = await world.call(seconds=5)
        assert reply.result is not None
        assert world.bench.log == ["start"]
        assert world.bench.overhear is None
        assert {key: reply.result[key] for key in ("source", "adapter", "adverts")} == {
            "source": "ble",
            "adapter": "hci0",
            "adverts": 10,
        }
        rows = {row["address"]: row for row in reply.result["found"]}
        assert rows[KNOWN]["devices"] == ["hall"]
        assert "devices" not in rows[STRANGER]
        assert rows[STRANGER]["profiles"][0]["values"]["temperature"] == 20.01
        assert rows[STRANGER]["name"] == "T1"


async def test_it_ends_in_time_for_its_answer() -> None:
    async with at_work() as world:
        await world.call(seconds=60, within_ms=4_000)
        await world.hears(3)
        reply = await world.call(seconds=60, within_ms=1_000)
        assert reply.result is not None
        assert reply.result["seconds"] == 3.0
        assert reply.result["adverts"] == 6


async def test_one_that_is_asked_for_anew_leaves_nothing_of_the_former() -> None:
    async with at_work() as world:
        await world.call(name="a", seconds=5)
        await world.hears(2)
        await world.call(name="b", seconds=5)
        await world.hears(6)
        reply = await world.call(name="b", seconds=5)
        assert reply.result is not None
        assert reply.result["adverts"] == 10
        with pytest.raises(Retry):
            await world.call(name="a", seconds=5, after=3)


async def test_an_adapter_that_is_away_is_said_so() -> None:
    async with at_work() as world:
        world.bench.becomes(powered=False)
        world.bench.refusals = [Retry("off")] * 99
        await world.call(seconds=1)
        await world.clock.advance(1_500)
        assert world.bench.log.count("start") >= 1
        world.bench.becomes(powered=False)
        with pytest.raises(Retry, match="hci0 is not there, or switched off"):
            await world.call(seconds=1)


@pytest.mark.parametrize(
    ("args", "code"),
    [
        ({"source": "modbus"}, "bad_request"),
        ({"seconds": 0}, "bad_request"),
        ({"seconds": 61}, "bad_request"),
        ({"seconds": "5"}, "bad_request"),
        ({"device": "hall"}, "bad_request"),
        ({"adapter": "hci1"}, "unknown_device"),
        ({"adapter": 1}, "unknown_device"),
    ],
)
async def test_what_is_asked_wrongly(args: dict[str, Any], code: str) -> None:
    async with at_work() as world:
        with pytest.raises(Refused) as refused:
            await world.call(**args)
        assert refused.value.code == code
        assert world.bench.overhear is None


async def test_a_bridge_that_is_not_at_work_says_so() -> None:
    with pytest.raises(Retry, match="not at work"):
        await World().call()
