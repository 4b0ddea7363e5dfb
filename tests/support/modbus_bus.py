"""A scripted Modbus line on a manual clock: units with faults behind one transport, and a driver on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from headgate.clock import ManualClock
from headgate.errors import HeadgateError
from headgate.modbus.client import NoReply, NotConnected
from headgate.modbus.driver import ModbusDriver
from headgate.modbus.puts import Put
from headgate.modbus.tags import Table
from headgate.modbus.transports import Transport
from headgate.model import Frame

RTU: dict[str, Any] = {"kind": "rtu", "path": "/dev/ttyS0"}
TCP: dict[str, Any] = {"kind": "tcp", "host": "h", "port": 1}


@dataclass(frozen=True, slots=True)
class Sent:
    """A request that went out."""

    at_ms: int
    unit: int
    table: Table
    address: int
    count: int


Behave = Callable[[Sent], Sequence[int] | HeadgateError]


class ReadOnly:
    """The part of a Client that no poll and no read may ever use."""

    async def write(self, put: Put, unit: int, timeout_s: float) -> None:
        raise AssertionError(f"a write went out: {put} to unit {unit}")


@dataclass
class ScriptedBus(ReadOnly):
    """A Client: a reply takes `delay_ms`, a missing one its time-out. Registers are equal to their address.

    `busy_ms` is the time that each unit held the bus. `faults` and `behave` say what a unit does instead.
    """

    clock: ManualClock
    delay_ms: int = 10
    faults: dict[int, HeadgateError] = field(default_factory=dict)
    behave: dict[int, Behave] = field(default_factory=dict)
    refuses: bool = False
    connected: bool = False
    heard: int = 0
    sent: list[Sent] = field(default_factory=list)
    connects: list[int] = field(default_factory=list)
    closes: list[int] = field(default_factory=list)
    connect_timeouts: list[float] = field(default_factory=list)
    busy_ms: dict[int, int] = field(default_factory=dict)

    async def connect(self, timeout_s: float) -> None:
        self.connects.append(self.clock.boot_ms())
        self.connect_timeouts.append(timeout_s)
        if self.refuses:
            raise NotConnected("refused")
        self.connected = True

    async def read(
        self, table: Table, unit: int, address: int, count: int, timeout_s: float
    ) -> Sequence[int]:
        assert self.connected
        started_ms = self.clock.boot_ms()
        sent = Sent(started_ms, unit, table, address, count)
        self.sent.append(sent)
        answer: Sequence[int] | HeadgateError = range(address, address + count)
        if unit in self.faults:
            answer = self.faults[unit]
        if unit in self.behave:
            answer = self.behave[unit](sent)
        wait_ms = round(timeout_s * 1000) if isinstance(answer, NoReply) else self.delay_ms
        await self.clock.sleep_until(started_ms + wait_ms)
        self.busy_ms[unit] = self.busy_ms.get(unit, 0) + self.clock.boot_ms() - started_ms
        if isinstance(answer, NotConnected):
            self.connected = False
        if isinstance(answer, HeadgateError):
            raise answer
        return list(answer)

    def close(self) -> None:
        if self.connected:
            self.closes.append(self.clock.boot_ms())
        self.connected = False

    def times(self, unit: int) -> list[int]:
        """When requests to a unit went out."""
        return [sent.at_ms for sent in self.sent if sent.unit == unit]


def bus_device(
    unit: int, transport: dict[str, Any] = TCP, *, interval_s: float = 1, **more: Any
) -> dict[str, Any]:
    """A device of one group with the tag x, two registers at address 7."""
    tag = {"name": "x", "table": "holding", "address": 7, "type": "uint32"}
    group = {"name": "g", "interval_s": interval_s, "tags": [tag]}
    return {"name": f"d{unit}", "unit": unit, "transport": transport, "groups": [group]} | more


class BusWorld:
    """A driver on one scripted bus, the frames that it emitted and the words that it said."""

    def __init__(self, *devices: dict[str, Any]) -> None:
        self.clock = ManualClock()
        self.bus = ScriptedBus(self.clock)
        self.frames: list[Frame] = []
        self.said: list[str] = []
        self.driver = ModbusDriver(self.clock, notice=self.said.append, open_client=self._open)
        self.driver.apply(self.driver.plan({"devices": list(devices)}))

    def of(self, unit: int, tag: str = "x") -> list[Frame]:
        """The frames of one device's tag."""
        index = [series.name for series in self.driver.table()].index(f"d{unit}/{tag}")
        return [frame for frame in self.frames if index in frame.series]

    def good(self, unit: int, since_ms: int = 0) -> list[int]:
        """When good values of a device arrived."""
        return [f.boot_ms for f in self.of(unit) if f.values[0] is not None and f.boot_ms >= since_ms]

    def health(self) -> dict[str, float]:
        return dict(self.driver.health())

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.driver.run(self.frames.append))
            try:
                yield
            finally:
                self.driver.stop()
                await self.clock.advance(120_000)
            assert task.done()

    def _open(self, transport: Transport) -> ScriptedBus:
        return self.bus
