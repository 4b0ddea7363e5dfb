"""A device without some of the registers: they are found, left out, tried rarely; all else flows."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headgate.clock import ManualClock
from headgate.modbus.client import ExceptionReply
from headgate.modbus.driver import ModbusDriver
from headgate.modbus.learned import FIRST_MS, MAX_DUE
from headgate.modbus.search import MAX_PARTS
from headgate.modbus.tags import Table
from headgate.modbus.transports import Transport
from headgate.model import Frame, Quality
from tests.support.modbus_bus import ReadOnly

INTERVAL_MS = 1_000


@dataclass
class Device(ReadOnly):
    """Has registers equal to their addresses, but for those missing; a read that touches one is refused."""

    missing: set[int] = field(default_factory=set)
    longest: int = 125
    code: int = 2
    connected: bool = False
    heard: int = 0
    asked: list[tuple[int, int]] = field(default_factory=list)

    async def connect(self, timeout_s: float) -> None:
        self.connected = True

    async def read(
        self, table: Table, unit: int, address: int, count: int, timeout_s: float
    ) -> Sequence[int]:
        await asyncio.sleep(0)
        self.asked.append((address, count))
        if count > self.longest or self.missing & set(range(address, address + count)):
            raise ExceptionReply(self.code)
        return [address + i for i in range(count)]

    def close(self) -> None:
        self.connected = False


class World:
    def __init__(self, device: Device, addresses: Sequence[int], **more: Any) -> None:
        self.clock, self.device = ManualClock(), device
        self.frames: list[Frame] = []
        self.said: list[str] = []
        self.driver = ModbusDriver(self.clock, notice=self.said.append, open_client=self._open)
        tags = [
            {"name": f"r{address}", "table": "holding", "address": address, "type": "uint16"}
            for address in addresses
        ]
        group = {"name": "g", "interval_s": INTERVAL_MS / 1000, "tags": tags}
        transport = {"kind": "tcp", "host": "h"}
        config = {"name": "m", "transport": transport, "groups": [group]} | more
        self.driver.apply(self.driver.plan({"devices": [config]}))

    def _open(self, transport: Transport) -> Device:
        return self.device

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        task = asyncio.create_task(self.driver.run(self.frames.append))
        try:
            yield
        finally:
            self.driver.stop()
            await self.clock.advance(1)
            await task

    async def tick(self) -> None:
        await self.clock.advance(INTERVAL_MS, turns=400)

    def take(self) -> dict[str, tuple[object, int]]:
        """The newest value and quality of each series since the last call."""
        found: dict[str, tuple[object, int]] = {}
        for frame in self.frames:
            for i, index in enumerate(frame.series):
                name = self.driver.table()[index].name.removeprefix("m/r")
                found[name] = (frame.values[i], frame.quality[i] if frame.quality else 0)
        self.frames.clear()
        return found


async def test_the_first_tick_brings_every_value_that_there_is() -> None:
    device = Device(missing={13})
    world = World(device, range(40))
    async with world.running():
        await world.tick()
        found = world.take()
        assert found.pop("13") == (None, Quality.BAD_CONFIG)
        assert found == {str(n): (n, 0) for n in range(40) if n != 13}
        device.asked.clear()
        await world.tick()
    assert device.asked == [(0, 13), (14, 26)]
    assert "13" not in world.take()
    (said,) = world.said
    assert said == "m/r13: exception 2, illegal data address for holding 13; it is left out and tried rarely"


async def test_what_is_missing_is_tried_again_and_comes_back_by_itself() -> None:
    device = Device(missing={5})
    world = World(device, range(10))
    async with world.running():
        await world.tick()
        device.asked.clear()
        ticks = 0
        while (5, 1) not in device.asked:
            assert device.asked in ([], [(0, 5), (6, 4)])
            device.asked.clear()
            await world.tick()
            ticks += 1
        assert abs(ticks - FIRST_MS // INTERVAL_MS) <= 1
        assert device.asked == [(0, 5), (6, 4), (5, 1)]
        device.missing.clear()
        for _ in range(2 * FIRST_MS // INTERVAL_MS + 1):
            device.asked.clear()
            await world.tick()
        assert device.asked == [(0, 10)]
    assert world.said[1:] == ["m/r5: the device has it after all"]


async def test_a_range_that_nobody_asked_for_is_gone_around_once_it_was_refused() -> None:
    device = Device(missing={6, 7})
    world = World(device, [0, 1, 2, 3, 10, 11, 12])
    async with world.running():
        await world.tick()
        found = world.take()
        assert found == {str(n): (n, 0) for n in (0, 1, 2, 3, 10, 11, 12)}
        device.asked.clear()
        await world.tick()
    assert device.asked == [(0, 4), (10, 3)]
    assert world.said == [
        "m/g: exception 2, illegal data address for holding 0 to 12; not read across 4 to 9"
    ]


async def test_a_device_of_short_reads_is_read_in_short_reads() -> None:
    device = Device(longest=30, code=3)
    world = World(device, range(100))
    async with world.running():
        await world.tick()
        assert world.take() == {str(n): (n, 0) for n in range(100)}
        device.asked.clear()
        await world.tick()
    assert device.asked == [(0, 25), (25, 25), (50, 25), (75, 25)]


async def test_other_exceptions_and_a_whole_table_that_is_missing_search_in_bounds() -> None:
    device = Device(missing=set(range(200)))
    world = World(device, range(120))
    async with world.running():
        await world.tick()
        assert set(world.take().values()) == {(None, Quality.BAD_CONFIG)}
        assert len(device.asked) <= 2 * (1 + MAX_PARTS)  # two ticks, the first at once
        for _ in range(20):
            await world.tick()
        for _ in range(20):
            device.asked.clear()
            await world.tick()
            assert len(device.asked) <= MAX_DUE
            assert all(count == 1 for _, count in device.asked)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sets(st.integers(0, 90), min_size=1, max_size=40),
    st.sets(st.integers(0, 90), max_size=4),
    st.integers(8, 125),
)
def test_whatever_is_missing_all_else_comes_and_is_read_in_few_reads(
    addresses: set[int], missing: set[int], longest: int
) -> None:
    asyncio.run(_whatever_is_missing(addresses, missing, longest))


async def _whatever_is_missing(addresses: set[int], missing: set[int], longest: int) -> None:
    device = Device(missing=missing, longest=longest)
    world = World(device, sorted(addresses))
    async with world.running():
        for _ in range(6):
            await world.tick()
        world.take()
        device.asked.clear()
        await world.tick()
        found = world.take()
    assert found == {str(n): (n, 0) for n in addresses - missing}
    assert not any(missing & set(range(address, address + count)) for address, count in device.asked)
    assert all(count <= longest for _, count in device.asked)
    assert len(device.asked) <= len(addresses)
