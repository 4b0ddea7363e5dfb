"""What the cloud asks of Modbus: before every poll that is due, and yet polls go on; counted, not timed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from headgate.clock import ManualClock
from headgate.driver import Refused, Reply, Request
from headgate.errors import HeadgateError, Retry
from headgate.lane import URGENT_IN_A_ROW
from headgate.modbus.client import ExceptionReply, NoReply
from headgate.modbus.driver import ModbusDriver
from headgate.modbus.line import MAX_ERRANDS
from headgate.modbus.tags import Table
from headgate.modbus.transports import Transport
from headgate.model import Frame
from tests.support.modbus_bus import ReadOnly

SLOW_MS = 100
POLLED, ASKED = 7, 500
"""Addresses: what polls read and what the cloud asks for."""
LINES: dict[str, dict[str, Any]] = {
    "tcp": {"kind": "tcp", "host": "h", "port": 1},
    "rtu": {"kind": "rtu", "path": "/dev/ttyS0"},
}


class SlowClient(ReadOnly):
    """Every transaction takes SLOW_MS, unless the unit is silent; `wire` is what went out, in order."""

    def __init__(self, clock: ManualClock) -> None:
        self.connected = False
        self.heard = 0
        self.wire: list[tuple[int, Table, int, int]] = []
        self.faults: dict[int, HeadgateError] = {}
        self.ended = 0
        self._clock = clock

    async def connect(self, timeout_s: float) -> None:
        self.connected = True

    async def read(
        self, table: Table, unit: int, address: int, count: int, timeout_s: float
    ) -> Sequence[int]:
        self.wire.append((unit, table, address, count))
        fault = self.faults.get(unit)
        wait_ms = round(timeout_s * 1000) if isinstance(fault, NoReply) else SLOW_MS
        await self._clock.sleep_until(self._clock.boot_ms() + wait_ms)
        self.ended += 1
        if fault is not None:
            raise fault
        if table in ("coil", "discrete"):
            return [(address + i) % 2 == 1 for i in range(-(-count // 8) * 8)]
        return [address + i for i in range(count)]

    def close(self) -> None:
        self.connected = False


def device(unit: int, transport: dict[str, Any], interval_s: float = 0.1, **more: Any) -> dict[str, Any]:
    tag = {"name": "x", "table": "holding", "address": POLLED, "type": "uint16"}
    group = {"name": "g", "interval_s": interval_s, "tags": [tag]}
    made = {"name": f"d{unit}", "unit": unit, "timeout_s": 1, "transport": transport, "groups": [group]}
    return made | more


class World:
    def __init__(self, *devices: dict[str, Any]) -> None:
        self.clock = ManualClock()
        self.client = SlowClient(self.clock)
        self.frames: list[Frame] = []
        self.said: list[str] = []
        self.driver = ModbusDriver(self.clock, notice=self.said.append, open_client=self._open)
        self.driver.apply(self.driver.plan({"devices": list(devices)}))

    def _open(self, transport: Transport) -> SlowClient:
        return self.client

    async def call(self, *, within_ms: int = 1 << 40, **args: Any) -> Reply:
        deadline_ms = self.clock.utc_ms() + within_ms
        return await self.driver.call(Request("r", 1, "read", args, deadline_ms, "direct"))

    async def ask(self, unit: int = 1, address: int = ASKED, count: int = 1) -> Reply:
        return await self.call(registers=[asked(unit, address, count)])

    @asynccontextmanager
    async def running(self) -> AsyncIterator[asyncio.TaskGroup]:
        async with asyncio.TaskGroup() as group:
            run = group.create_task(self.driver.run(self.frames.append))
            yield group
            self.driver.stop()
            await self.clock.advance(3_000)
            assert run.done()

    async def ends(self, number: int) -> None:
        """Let some transactions end."""
        target = self.client.ended + number
        while self.client.ended < target:
            await self.clock.advance(10)


def asked(unit: int = 1, address: int = ASKED, count: int = 1, table: str = "holding") -> dict[str, Any]:
    return {"device": f"d{unit}", "table": table, "address": address, "count": count}


def kinds(world: World, start: int = 0) -> str:
    """The wire as letters: p for a poll's transaction, a for one that was asked for."""
    return "".join("p" if address == POLLED else "a" for _, _, address, _ in world.client.wire[start:])


@pytest.mark.parametrize("line", LINES)
async def test_with_forty_polls_due_a_read_is_the_next_transaction(line: str) -> None:
    world = World(*(device(unit, LINES[line]) for unit in range(1, 41)))
    async with world.running() as group:
        await world.clock.advance(1_050)  # all forty are due again and again; one is on the wire
        before = len(world.client.wire)
        call = group.create_task(world.ask())
        await world.ends(2)
        assert kinds(world, before)[0] == "a"
        assert call.done()
        assert call.result().status == "ok"
        assert kinds(world, before) == "ap"  # and then the next poll


async def test_reads_are_served_in_order_of_arrival() -> None:
    world = World(*(device(unit, LINES["tcp"]) for unit in range(1, 41)))
    async with world.running() as group:
        await world.clock.advance(1_050)
        before = len(world.client.wire)
        calls = []
        for n in range(10):
            calls.append(group.create_task(world.ask(unit=10 - n, address=ASKED + n)))
            await asyncio.sleep(0)
        await world.ends(14)
        assert all(call.done() for call in calls)
        addresses = [address for _, _, address, _ in world.client.wire[before:] if address != POLLED]
        assert addresses == [ASKED + n for n in range(10)]


@pytest.mark.parametrize("line", LINES)
async def test_polls_go_on_under_a_flood_of_reads(line: str) -> None:
    world = World(*(device(unit, LINES[line]) for unit in range(1, 6)))
    async with world.running() as group:
        await world.clock.advance(1_050)

        async def flood() -> None:
            for _ in range(20):
                await world.ask()

        before = len(world.client.wire)
        floods = [group.create_task(flood()) for _ in range(10)]
        await world.ends(200)
        told = kinds(world, before)[:200]
        assert not all(each.done() for each in floods)
        assert told == ("a" * URGENT_IN_A_ROW + "p") * 40
        polled = [unit for unit, _, address, _ in world.client.wire[before:] if address == POLLED]
        assert {unit: polled.count(unit) for unit in range(1, 6)} == dict.fromkeys(range(1, 6), 8)
        await world.ends(60)
        assert all(each.done() for each in floods)


async def test_a_read_overtakes_the_repetitions_of_a_poll_and_its_further_reads() -> None:
    tags = [
        {"name": "x", "table": "holding", "address": POLLED, "type": "uint16"},
        {"name": "y", "table": "input", "address": POLLED, "type": "uint16"},
    ]
    group_ = {"name": "g", "interval_s": 60, "tags": tags}
    world = World(device(1, LINES["tcp"], interval_s=60, retries=5), device(2, LINES["tcp"], groups=[group_]))
    world.client.faults[1] = NoReply("no reply")
    async with world.running() as group:
        await world.clock.advance(50)
        first = group.create_task(world.ask(unit=2))
        await world.ends(2)
        assert kinds(world)[:2] == "pa"  # before the poll's repetition
        assert first.done()
        del world.client.faults[1]
        await world.ends(1)
        await world.clock.advance(37_200)
        assert kinds(world)[-1:] == "p"  # the first of the other group's two reads is on the wire
        start = len(world.client.wire)
        second = group.create_task(world.ask(unit=2))
        await world.ends(2)
        assert (kinds(world, start), second.done()) == ("ap", True)


async def test_a_read_that_nobody_waits_for_any_more_is_not_begun_and_one_on_the_wire_ends() -> None:
    world = World(device(1, LINES["rtu"], interval_s=60))
    async with world.running() as group:
        await world.ends(1)
        on_wire = group.create_task(world.ask())
        queued = group.create_task(world.ask(address=ASKED + 1))
        await world.clock.advance(10)
        on_wire.cancel()
        queued.cancel()
        await world.clock.advance(10)
        assert world.client.ended == 1
        after = group.create_task(world.ask(address=ASKED + 2))
        await world.ends(2)
        assert after.done()
        assert [address for _, _, address, _ in world.client.wire] == [POLLED, ASKED, ASKED + 2]


async def test_raw_registers_and_bits_are_answered_in_the_order_asked() -> None:
    world = World(device(1, LINES["tcp"], interval_s=60))
    async with world.running() as group:
        call = group.create_task(
            world.call(
                series=["d1/x"],
                registers=[asked(1, 10, 3, "coil"), asked(1, 20, 2, "input"), asked(1, 65_535)],
            )
        )
        await world.clock.advance(1_000)
        reply = call.result()
    assert (reply.status, reply.code) == ("ok", "ok")
    assert reply.result is not None
    rows = reply.result["registers"]
    assert [(row["table"], row["address"], row["values"]) for row in rows] == [
        ("coil", 10, [0, 1, 0]),
        ("input", 20, [20, 21]),
        ("holding", 65_535, [65_535]),
    ]
    assert all(type(value) is int for row in rows for value in row["values"])
    assert rows[0]["t"] < rows[1]["t"] < rows[2]["t"] <= world.clock.utc_ms()
    assert reply.result["values"][0]["value"] == POLLED


async def test_what_could_not_be_read_has_its_error() -> None:
    devices = [device(unit, LINES["tcp"], interval_s=3600, retries=0) for unit in (1, 2, 3)]
    world = World(*devices)
    async with world.running() as group:
        await world.clock.advance(2_500_000)
        world.client.faults = {1: ExceptionReply(2), 2: NoReply("no reply within 1 s")}
        calls = [group.create_task(world.call(registers=[asked(unit) for unit in (1, 2, 3)])) for _ in "123"]
        await world.clock.advance(10_000)
        assert all(call.done() for call in calls)
        reply = calls[0].result()
        assert reply.status == "ok"
        assert reply.result is not None
        refused, silent, good = reply.result["registers"]
        assert refused["error"] == "exception 2, illegal data address"
        assert silent["error"] == "no reply within 1 s"
        assert good["values"] == [ASKED]
        assert not {"values", "t"} & (refused.keys() | silent.keys())


async def test_a_silent_unit_does_not_cost_the_answers_of_others() -> None:
    other = {"kind": "tcp", "host": "h", "port": 2}
    world = World(device(1, LINES["tcp"], interval_s=3600, timeout_s=60), device(2, other, interval_s=3600))
    async with world.running() as group:
        await world.clock.advance(2_500_000)
        world.client.faults[1] = NoReply("no reply within 60 s")
        call = group.create_task(world.call(within_ms=10_000, registers=[asked(1), asked(2)]))
        await world.clock.advance(7_400)
        assert not call.done()
        await world.clock.advance(200)
        reply = call.result()
        assert reply.status == "ok"
        assert reply.result is not None
        silent, good = reply.result["registers"]
        assert (silent["error"], good["values"]) == ("not read in time", [ASKED])
        await world.clock.advance(200_000)  # what was on the wire ends there, for nobody


async def test_a_unit_that_is_left_alone_costs_the_line_nothing() -> None:
    world = World(device(1, LINES["tcp"], interval_s=3600, retries=0))
    async with world.running() as group:
        await world.ends(1)
        world.client.faults = {1: NoReply("no reply within 1 s")}
        for _ in range(2):
            call = group.create_task(world.ask())
            await world.clock.advance(1_100)
            assert call.result().status == "failed"
        before = len(world.client.wire)
        reply = await world.ask()
        assert len(world.client.wire) == before
        assert (reply.status, reply.code) == ("failed", "offline")
        assert reply.detail.startswith("d1: no reply within 1 s; left alone for 0.")
        del world.client.faults[1]
        await world.clock.advance(1_000)
        again = group.create_task(world.ask())
        await world.clock.advance(200)
        assert again.result().status == "ok"
        assert world.said[-1] == "d1: answers again"


@pytest.mark.parametrize(
    ("row", "code", "words"),
    [
        (asked(9), "unknown_device", "no Modbus device 'd9'"),
        (asked(table="coils"), "bad_request", "no table 'coils'"),
        (asked(count=0), "bad_request", "1 to 125"),
        (asked(count=126), "bad_request", "1 to 125"),
        (asked(count=101, unit=2), "bad_request", "1 to 100 are read at once, as it is configured"),
        (asked(table="coil", count=2001), "bad_request", "1 to 2000"),
        (asked(address=-1), "bad_request", "beyond address 65535"),
        (asked(address=65_535, count=2), "bad_request", "beyond address 65535"),
        (asked(count=True), "bad_request", "count is True"),
        ({"device": "d1"}, "bad_request", "is not device, table, address and count"),
        ("d1:holding:0", "bad_request", "is not device, table, address and count"),
    ],
)
async def test_ranges_that_cannot_be_are_refused(row: object, code: str, words: str) -> None:
    world = World(device(1, LINES["tcp"]), device(2, LINES["tcp"], max_registers=100))
    with pytest.raises(Refused, match=words) as caught:
        await world.call(registers=[row])
    assert caught.value.code == code


async def test_what_another_bridge_reads_is_refused_here() -> None:
    world = World(device(1, LINES["tcp"]))
    with pytest.raises(Refused, match="series and registers") as caught:
        await world.call(characteristics=[{"device": "d1", "characteristic": "2a6e"}])
    assert caught.value.code == "bad_request"


async def test_more_reads_than_may_wait_are_refused_and_stopping_answers_the_rest() -> None:
    world = World(device(1, LINES["tcp"], interval_s=3600))
    async with world.running() as group:
        await world.clock.advance(10)
        calls = [group.create_task(world.ask()) for _ in range(MAX_ERRANDS)]
        await world.clock.advance(10)
        with pytest.raises(Refused, match="wait for h:1 already") as caught:
            await world.ask()
        assert caught.value.code == "too_many"
    replies = [call.result() for call in calls]
    assert {reply.status for reply in replies} == {"failed"}
    assert replies[-1].detail == "d1: h:1 is being closed"
    with pytest.raises(Retry):
        await world.ask()
