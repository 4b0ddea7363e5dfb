"""The cloud's scan of a line: who answers is found, polls keep their share, and silence is no news."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from headgate.clock import ManualClock
from headgate.driver import Refused, Reply, Request
from headgate.errors import HeadgateError, Retry
from headgate.modbus.client import ExceptionReply, NoReply, NotConnected, WrongReply
from headgate.modbus.driver import ModbusDriver
from headgate.modbus.tags import Table
from tests.support.modbus_bus import ReadOnly

SLOW_MS, POLLED = 20, 7
LINES: dict[str, dict[str, Any]] = {
    "tcp": {"kind": "tcp", "host": "h", "port": 1},
    "rtu": {"kind": "rtu", "path": "/dev/ttyS0"},
}


class Bus(ReadOnly):
    """`there` answers; any other unit is silent, or what `faults` says. `wire` is what went out."""

    def __init__(self, clock: ManualClock) -> None:
        self.connected = False
        self.heard = 0
        self.there = {1, 2, 9}
        self.faults: dict[int, HeadgateError] = {}
        self.wire: list[tuple[int, int, float]] = []
        self.refuses = False
        self.connects = 0
        self._clock = clock

    async def connect(self, timeout_s: float) -> None:
        if self.refuses:
            raise NotConnected("connection refused")
        self.connects += 1
        self.connected = True

    async def read(
        self, table: Table, unit: int, address: int, count: int, timeout_s: float
    ) -> Sequence[int]:
        self.wire.append((unit, address, timeout_s))
        fault = self.faults.get(unit)
        silent = unit not in self.there and fault is None
        wait_ms = round(timeout_s * 1000) if silent else SLOW_MS
        await self._clock.sleep_until(self._clock.boot_ms() + wait_ms)
        if silent:
            raise NoReply("no reply")
        if fault is not None:
            raise fault
        return [0] * count

    def close(self) -> None:
        self.connected = False


class World:
    def __init__(self, line: str = "tcp", interval_s: float = 0.5) -> None:
        self.clock = ManualClock()
        self.bus = Bus(self.clock)
        self.said: list[str] = []
        self.driver = ModbusDriver(self.clock, notice=self.said.append, open_client=lambda _: self.bus)
        tag = {"name": "x", "table": "holding", "address": POLLED, "type": "uint16"}
        group = {"name": "g", "interval_s": interval_s, "tags": [tag]}
        devices = [
            {"name": name, "unit": unit, "timeout_s": 1.5, "transport": LINES[line], "groups": [group]}
            for name, unit in (("boiler", 1), ("meter", 2))
        ]
        self.driver.apply(self.driver.plan({"devices": devices}))

    async def call(self, name: str = "r", within_ms: int = 600_000, **args: Any) -> Reply:
        args = {"source": "modbus", "device": "boiler", **args}
        deadline_ms = self.clock.utc_ms() + within_ms
        return await self.driver.call(Request(name, 1, "scan", args, deadline_ms, "direct"))

    async def scanned(self, **args: Any) -> dict[str, Any]:
        while (reply := await self.call(**args)).code == "started":
            await self.clock.advance(200)
        assert reply.result is not None
        return dict(reply.result)


@asynccontextmanager
async def at_work(line: str = "tcp", **options: Any) -> AsyncIterator[World]:
    world = World(line, **options)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(world.driver.run(lambda frame: None))
        await world.clock.advance(1_000)
        yield world
        world.driver.stop()
        await world.clock.advance(3_000)
        assert task.done()


@pytest.mark.parametrize("line", LINES)
async def test_who_answers_is_found_and_polls_go_on(line: str) -> None:
    async with at_work(line) as world:
        world.bus.there.discard(9)
        world.bus.faults = {9: ExceptionReply(2), 11: WrongReply("noise")}
        start, connects = len(world.bus.wire), world.bus.connects
        result = await world.scanned(last=20)
        assert [row["unit"] for row in result["found"]] == [1, 2, 9, 11]
        assert [row.get("devices") for row in result["found"]] == [["boiler"], ["meter"], None, None]
        assert [row.get("answer") for row in result["found"][:2]] == ["answers", "answers"]
        assert "exception 2" in result["found"][2]["answer"]
        assert "noise" in result["found"][3]["error"]
        assert (result["first"], result["last"], result["asked"]) == (1, 20, 20)
        wire = world.bus.wire[start:]
        # Between two polls that are due there is one probe at most, of a silent unit for 0.3 s.
        polls = [unit for unit, address, _ in wire if address == POLLED]
        elapsed_s = result["seconds"]
        assert min(polls.count(1), polls.count(2)) >= 0.9 * elapsed_s / 0.5 - 2
        assert {timeout_s for unit, address, timeout_s in wire if address != POLLED and unit > 2} == {0.3}
        assert {timeout_s for unit, address, timeout_s in wire if unit <= 2} == {1.5}
        assert world.said == []
        # Silence of units that nobody said are there does not count against the connection.
        assert world.bus.connects <= connects + 1


async def test_it_ends_in_time_and_says_how_far_it_came() -> None:
    async with at_work(interval_s=60) as world:
        result = await world.scanned(first=50, last=247, seconds=3)
        assert result["found"] == []
        assert 9 <= result["asked"] <= 10
        result = await world.scanned(name="b", first=50, last=247, within_ms=2_000)
        assert 4 <= result["asked"] <= 5
        result = await world.scanned(name="c", first=9, last=9, timeout_s=0.05)
        assert [row["unit"] for row in result["found"]] == [9]


async def test_a_device_that_is_configured_and_silent_is_told() -> None:
    async with at_work() as world:
        world.bus.there.discard(2)
        result = await world.scanned(last=3)
        assert result["found"][1] == {"unit": 2, "devices": ["meter"], "error": "no reply"}


async def test_no_connection_is_no_empty_line() -> None:
    async with at_work() as world:
        world.bus.refuses = True
        world.bus.close()
        with pytest.raises(Retry, match="connection"):
            await world.scanned()


@pytest.mark.parametrize(
    ("args", "code"),
    [
        ({"source": "ble"}, "bad_request"),
        ({"device": "nobody"}, "unknown_device"),
        ({"device": None}, "unknown_device"),
        ({"first": 0}, "bad_request"),
        ({"last": 248}, "bad_request"),
        ({"first": 9, "last": 8}, "bad_request"),
        ({"first": 1.0}, "bad_request"),
        ({"seconds": 601}, "bad_request"),
        ({"timeout_s": 3}, "bad_request"),
        ({"adapter": "hci0"}, "bad_request"),
    ],
)
async def test_what_is_asked_wrongly_of_a_line(args: dict[str, Any], code: str) -> None:
    async with at_work() as world:
        with pytest.raises(Refused) as refused:
            await world.call(**args)
        assert refused.value.code == code


async def test_a_line_that_is_not_at_work_says_so() -> None:
    with pytest.raises(Retry, match="not at work"):
        await World().call()
