"""The driver on a scripted client and a manual clock: ticks, failures, back-off, changes, orderly end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from headgate.clock import ManualClock
from headgate.driver import Request
from headgate.errors import HeadgateError, Reject
from headgate.modbus.client import ExceptionReply, NoReply, NotConnected
from headgate.modbus.driver import ModbusDriver
from headgate.modbus.tags import Table
from headgate.modbus.transports import Transport
from headgate.model import Frame, Quality
from tests.support.modbus_bus import ReadOnly


@dataclass
class FakeClient(ReadOnly):
    """Answers registers equal to their address, unless a unit has a fault; a reply takes `delay_ms`."""

    clock: ManualClock
    faults: dict[int, HeadgateError] = field(default_factory=dict)
    refuses: bool = False
    delay_ms: int = 0
    connected: bool = False
    heard: int = 0
    reads: list[tuple[int, int]] = field(default_factory=list)
    connects: int = 0
    open_reads: int = 0

    async def connect(self, timeout_s: float) -> None:
        self.connects += 1
        if self.refuses:
            raise NotConnected("refused")
        self.connected = True

    async def read(
        self, table: Table, unit: int, address: int, count: int, timeout_s: float
    ) -> Sequence[int]:
        assert self.connected
        assert not self.open_reads, "two transactions at once"
        self.open_reads += 1
        self.reads.append((self.clock.boot_ms(), unit))
        try:
            fault = self.faults.get(unit)
            wait_ms = int(timeout_s * 1000) if isinstance(fault, NoReply) else self.delay_ms
            await self.clock.sleep_until(self.clock.boot_ms() + wait_ms)
        finally:
            self.open_reads -= 1
        if fault is not None:
            raise fault
        return [address + i for i in range(count)]

    def close(self) -> None:
        self.connected = False


def device(name: str, unit: int, *, port: int = 1, interval_s: float = 0.1, **more: Any) -> dict[str, Any]:
    tag = {"name": "x", "table": "holding", "address": 7, "type": "uint16"}
    group = {"name": "g", "interval_s": interval_s, "tags": [tag]}
    transport = {"kind": "tcp", "host": "h", "port": port}
    return {"name": name, "unit": unit, "timeout_s": 0.05, "transport": transport, "groups": [group]} | more


class World:
    """A driver, its clients by port, the frames and the words it said."""

    def __init__(self, *devices: dict[str, Any]) -> None:
        self.clock = ManualClock()
        self.clients: dict[int, FakeClient] = {}
        self.frames: list[Frame] = []
        self.said: list[str] = []
        self.driver = ModbusDriver(self.clock, notice=self.said.append, open_client=self._open)
        self.set(*devices)

    def set(self, *devices: dict[str, Any]) -> None:
        self.driver.apply(self.driver.plan({"devices": list(devices)}))

    def of(self, name: str) -> list[Frame]:
        index = [series.name for series in self.driver.table()].index(f"{name}/x")
        return [frame for frame in self.frames if frame.series == (index,)]

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.driver.run(self.frames.append))
            yield
            self.driver.stop()
            await self.clock.advance(1000)
            assert task.done()

    def _open(self, transport: Transport) -> FakeClient:
        port = getattr(transport, "port", 0)
        return self.clients.setdefault(port, FakeClient(self.clock))


def health(world: World) -> dict[str, float]:
    return dict(world.driver.health())


async def test_ticks_do_not_drift_and_frames_bear_the_time_of_the_reply() -> None:
    world = World(device("a", 1))
    world.clients[1].delay_ms = 30
    async with world.running():
        await world.clock.advance(1000)
    assert [at for at, _ in world.clients[1].reads][:10] == list(range(0, 1000, 100))
    assert [frame.boot_ms for frame in world.frames][:10] == list(range(30, 1030, 100))
    assert world.frames[0] == Frame(30, (0,), [7], ())
    assert health(world)["missed"] == 0


async def test_a_slow_line_misses_ticks_counts_them_and_never_piles_them_up() -> None:
    world = World(device("a", 1, timeout_s=1))
    world.clients[1].delay_ms = 250
    async with world.running():
        await world.clock.advance(1499)
    assert [at for at, _ in world.clients[1].reads] == [0, 250, 500, 750, 1000, 1250]
    assert health(world)["missed"] == 15 - 6 - 2  # of 15 ticks; the last two were not yet due again


async def test_a_silent_unit_is_marked_once_a_tick_then_left_alone_and_found_again() -> None:
    world = World(device("dead", 1), device("live", 2))
    client = world.clients[1]
    client.faults[1] = NoReply("no reply")
    async with world.running():
        await world.clock.advance(20_000)
        dead = world.of("dead")
        assert all(frame.values == (None,) for frame in dead)
        assert all(frame.quality == (Quality.BAD_COMM,) for frame in dead)
        assert len(dead) < 12
        assert len(world.of("live")) > 0.95 * 200
        assert health(world)["up/dead"] == 0.0
        del client.faults[1]
        await world.clock.advance(31_000)
        assert world.of("dead")[-1].values == [7]
        assert health(world)["up/dead"] == 1.0
    assert world.said == ["dead: no reply (h:1, unit 1)", "dead: answers again"]


async def test_a_lost_reply_is_asked_for_again() -> None:
    world = World(device("a", 1, retries=2))
    client = world.clients[1]
    client.faults[1] = NoReply("no reply")
    async with world.running():
        await world.clock.advance(120)  # two tries of 50 ms each are over, the third is under way
        del client.faults[1]
        await world.clock.advance(60)
    assert len([at for at, _ in client.reads if at < 150]) == 3
    assert health(world)["failures"] == 3


async def test_an_endpoint_that_refuses_does_not_disturb_another() -> None:
    world = World(device("dead", 1, port=1), device("live", 1, port=2))
    world.clients[1].refuses = True
    async with world.running():
        await world.clock.advance(10_000)
        assert len(world.of("live")) == 100
        assert 3 <= world.clients[1].connects <= 12
        world.clients[1].refuses = False
        await world.clock.advance(10_000)
        assert world.of("dead")[-1].values == [7]


@pytest.mark.parametrize(("code", "quality"), [(1, Quality.BAD_CONFIG), (6, Quality.BAD_COMM)])
async def test_a_refused_read_is_marked_and_the_device_stays_up(code: int, quality: Quality) -> None:
    world = World(device("a", 1))
    world.clients[1].faults[1] = ExceptionReply(code)
    async with world.running():
        await world.clock.advance(500)
    assert {(frame.values, frame.quality) for frame in world.frames} == {((None,), (quality,))}
    assert health(world)["up/a"] == 1.0
    assert len(world.said) == 1
    assert f"a/g: exception {code}" in world.said[0]


async def test_stopping_lets_the_transaction_in_flight_be_emitted() -> None:
    world = World(device("a", 1, timeout_s=1))
    world.clients[1].delay_ms = 300
    async with world.running():
        await world.clock.advance(100)
    assert [frame.boot_ms for frame in world.frames] == [300]
    assert not world.clients[1].connected


async def test_cancelling_lets_the_transaction_in_flight_be_emitted() -> None:
    world = World(device("a", 1, timeout_s=1))
    world.clients[1].delay_ms = 300
    async with asyncio.TaskGroup() as group:
        task = group.create_task(world.driver.run(world.frames.append))
        await world.clock.advance(100)
        task.cancel()
        await world.clock.advance(100)
        assert not task.done()
        await world.clock.advance(200)
    assert task.cancelled()
    assert [frame.boot_ms for frame in world.frames] == [300]


async def test_a_change_restarts_only_the_devices_it_names() -> None:
    kept, changed, gone = device("kept", 1), device("changed", 2, port=2), device("gone", 3, port=3)
    world = World(kept, changed, gone)
    async with world.running():
        await world.clock.advance(1000)
        change = world.driver.plan({"devices": [kept, device("changed", 2, port=2, retries=2)]})
        assert (change.kept, change.changed, change.removed) == (("kept",), ("changed",), ("gone",))
        assert str(change) == "devices: 1 changed, 1 removed, 1 unchanged"
        world.driver.apply(change)
        await world.clock.advance(1000)
        assert [frame.boot_ms for frame in world.of("kept")] == list(range(0, 2001, 100))
        assert world.clients[1].connects == 1
        assert world.of("changed")[-1].boot_ms > 1900
        assert world.of("gone")[-1].boot_ms <= 1000
        assert not world.clients[3].connected
        assert [series.name for series in world.driver.table()] == ["kept/x", "changed/x", "gone/x"]


async def test_a_bad_plan_changes_nothing() -> None:
    world = World(device("a", 1))
    with pytest.raises(Reject, match="unknown key"):
        world.driver.plan({"devices": [device("a", 1, retires=2)]})
    async with world.running():
        await world.clock.advance(100)
    assert len(world.frames) >= 1


def asked(op: str, **args: Any) -> Request:
    return Request("1", 1, op, args, 0, "direct")


async def test_a_read_from_outside_goes_before_the_next_poll() -> None:
    world = World(device("a", 1, interval_s=0.02, timeout_s=1), device("b", 2, interval_s=0.02, timeout_s=1))
    world.clients[1].delay_ms = 50  # the line never rests
    async with world.running():
        await world.clock.advance(1010)
        async with asyncio.TaskGroup() as group:
            call = group.create_task(world.driver.call(asked("read", series=["a/x"])))
            await world.clock.advance(95)
        assert call.result().status == "ok"
        offset_ms = world.clock.utc_ms() - world.clock.boot_ms()
        assert call.result().result == {
            "values": [{"series": "a/x", "value": 7, "unit": "", "quality": 0, "t": offset_ms + 1100}]
        }


async def test_what_the_driver_does_not_do_is_refused() -> None:
    world = World(device("a", 1))
    for request in (asked("write"), asked("read"), asked("read", series=["a/y"]), asked("read", series=[])):
        with pytest.raises(Reject):
            await world.driver.call(request)


async def test_a_failed_read_from_outside_says_so() -> None:
    world = World(device("a", 1, retries=0))
    world.clients[1].refuses = True
    async with world.running():
        reply = await world.driver.call(asked("read", series=["a/x"]))
    assert (reply.status, reply.code, reply.detail) == ("failed", "offline", "a: refused")
