"""Several adapters under one driver, each its own; and the bounds of a connection."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from gateway_sim.ble import bthome
from headgate.ble.adapters import AdapterConfig
from headgate.ble.air import ENOUGH, GATHER_MS, MAX_WAITING
from headgate.ble.decoders.quantity import Advert
from headgate.ble.driver import BleDriver
from headgate.ble.gatt import ATTEMPTS, Gatt, Reading
from headgate.ble.radio import Session
from headgate.clock import ManualClock
from headgate.errors import Retry
from headgate.model import Frame
from tests.support.ble_doubles import Bench

ADDRESS = "AA:BB:CC:DD:EE:0{}"


class World:
    """Devices 0 on hci0 and 1 on hci1."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.benches: dict[str, list[Bench]] = {}
        self.frames: list[Frame] = []
        self.driver = BleDriver(self.clock, stack=self._stack)

    def _stack(self, adapter: str, clock: object) -> tuple[Bench, Bench]:
        bench = Bench(self.clock)
        self.benches.setdefault(adapter, []).append(bench)
        return bench, bench

    def configure(self, *adapters: str, **more: Any) -> None:
        devices = [
            {"name": f"d{n}", "address": ADDRESS.format(n), "profile": "bthome", "adapter": adapter}
            for n, adapter in enumerate(adapters)
        ]
        self.driver.apply(self.driver.plan({**more, "devices": devices}))

    async def send(self, adapter: str, number: int, packet_id: int) -> None:
        data = {bthome.SERVICE_UUID: bthome.service_data({"packet_id": packet_id, "temperature": 2000})}
        self.benches[adapter][-1].send(Advert(ADDRESS.format(number), self.clock.boot_ms(), -60, data))
        await self.clock.advance(GATHER_MS)


@asynccontextmanager
async def at_work() -> AsyncIterator[World]:
    world = World()
    world.configure("hci0", "hci1")
    async with asyncio.TaskGroup() as group:
        group.create_task(world.driver.run(world.frames.append))
        await world.clock.advance(0)
        yield world
        world.driver.stop()
        await world.clock.advance(1_000)
    assert not any(bench.scanning for benches in world.benches.values() for bench in benches)


async def test_each_adapter_has_a_scan_and_its_own_devices() -> None:
    async with at_work() as world:
        assert all(bench.scanning for (bench,) in world.benches.values())
        await world.send("hci0", 0, 1)
        await world.send("hci1", 1, 1)
        assert len(world.frames) == 2
        await world.send("hci0", 1, 2)  # heard by the other adapter, which is not to listen to it
        assert len(world.frames) == 2


async def test_a_change_of_one_adapter_leaves_the_other_alone() -> None:
    async with at_work() as world:
        world.configure("hci0", "hci1", adapters=[{"name": "hci1", "silence_s": 60}])
        await world.clock.advance(0)
        assert len(world.benches["hci0"]) == 1
        former, now = world.benches["hci1"]
        assert (former.scanning, now.scanning) == (False, True)
        assert former.log == ["start", "stop"]
        world.configure("hci0")
        await world.clock.advance(0)
        assert not now.scanning
        assert world.benches["hci0"][0].log == ["start"]


async def test_too_many_packets_at_once_cost_the_oldest() -> None:
    async with at_work() as world:
        bench = world.benches["hci0"][0]
        for number in range(MAX_WAITING + 10):
            raws = {"packet_id": number % 256, "temperature": 2000}
            data = {bthome.SERVICE_UUID: bthome.service_data(raws)}
            bench.send(Advert(ADDRESS.format(0), world.clock.boot_ms(), -60, data))
        await world.clock.advance(GATHER_MS)
        assert len(world.frames) == MAX_WAITING
        assert dict(world.driver.health())["overrun"] == 10


async def test_packets_wait_for_others_but_not_for_whoever_asks() -> None:
    async with at_work() as world:
        bench = world.benches["hci0"][0]

        async def send(numbers: range) -> None:
            for number in numbers:
                raws = {"packet_id": number % 256, "temperature": 2000}
                data = {bthome.SERVICE_UUID: bthome.service_data(raws)}
                bench.send(Advert(ADDRESS.format(0), world.clock.boot_ms(), -60, data))
            await world.clock.advance(0)

        await send(range(10))
        assert not world.frames
        assert dict(world.driver.health())["packets"] == 10
        assert len(world.frames) == 10
        await send(range(10, 10 + ENOUGH))
        assert len(world.frames) == 10 + ENOUGH


class Refusing(Bench):
    """In reach, but it takes some refusals until it can be connected to; `paused` is when the scan rested."""

    def __init__(self, clock: ManualClock, refusals: int) -> None:
        super().__init__(clock)
        self.left = refusals
        self.times: list[int] = []
        self.paused: list[bool] = []
        self.resting = False
        self.closed = 0

    async def found(self, address: str, timeout_s: float) -> None:
        return None

    async def connect(self, address: str, timeout_s: float, *, pair: bool) -> Session:
        self.times.append(self._clock.boot_ms())
        self.paused.append(self.resting)
        if self.left:
            self.left -= 1
            raise Retry("le-connection-abort-by-local")
        return self

    async def read(self, uuid: str, timeout_s: float) -> bytes:
        raise Retry("gone")

    async def write(self, uuid: str, data: bytes, timeout_s: float, *, response: bool) -> None:
        raise AssertionError("nobody asked for it")

    async def close(self) -> None:
        self.closed += 1

    @asynccontextmanager
    async def rest(self) -> AsyncIterator[None]:
        self.resting = True
        try:
            yield
        finally:
            self.resting = False


async def reading(refusals: int) -> tuple[Refusing, list[Reading]]:
    clock = ManualClock()
    radio, found = Refusing(clock, refusals), list[Reading]()
    gatt = Gatt(radio, clock, random.Random(1), AdapterConfig(), radio.rest)
    async with asyncio.TaskGroup() as group:
        group.create_task(gatt.read(ADDRESS.format(0), ["a", "b"], 10, found.append))
        await clock.advance(10_000)
    return radio, found


async def test_a_connection_is_tried_again_later_and_without_a_scan_and_is_closed_though_reads_fail() -> None:
    radio, found = await reading(ATTEMPTS - 1)
    assert radio.paused == [False, True, False]  # a pause that did not help is not tried again so soon
    first, second, third = radio.times
    assert 250 <= second - first <= 750
    assert 500 <= third - second <= 1_500
    assert [(each.uuid, each.error) for each in found] == [("a", "gone"), ("b", "gone")]
    assert radio.closed == 1


async def test_attempts_to_connect_are_bounded() -> None:
    with pytest.raises(ExceptionGroup) as failed:
        await reading(99)
    assert isinstance(failed.value.exceptions[0], Retry)
