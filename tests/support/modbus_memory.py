"""A Modbus client over registers and coils in memory: they can be written, and fail as writes do."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from headgate.clock import ManualClock
from headgate.driver import Reply, Request
from headgate.errors import HeadgateError
from headgate.modbus.client import NoReply, NotConnected
from headgate.modbus.driver import ModbusDriver
from headgate.modbus.puts import Put
from headgate.modbus.tags import Table
from headgate.modbus.transports import Transport
from headgate.model import Frame

REPLY_MS = 10


@dataclass
class MemoryBus:
    """One unit's cells; a transaction takes REPLY_MS, one whose reply is lost its time-out.

    `lost`: how many of the next writes are done, but not confirmed. `dropped`: how many are neither.
    `refused`: exceptions by function code. `slow_ms`: how late a confirmed write is taken over, None never.
    """

    clock: ManualClock
    cells: dict[tuple[Table, int], int] = field(default_factory=dict)
    lost: int = 0
    dropped: int = 0
    refused: dict[int, HeadgateError] = field(default_factory=dict)
    unreadable: HeadgateError | None = None
    slow_ms: int | None = 0
    connected: bool = False
    reachable: bool = True
    heard: int = 0
    wire: list[tuple[str, int, tuple[int, ...]]] = field(default_factory=list)

    async def connect(self, timeout_s: float) -> None:
        if not self.reachable:
            raise NotConnected("no way there")
        self.connected = True

    async def read(
        self, table: Table, unit: int, address: int, count: int, timeout_s: float
    ) -> Sequence[int]:
        self.wire.append((f"read {table}", address, ()))
        await self.clock.sleep_until(self.clock.boot_ms() + REPLY_MS)
        if self.unreadable is not None:
            raise self.unreadable
        return [self.cells.get((table, address + i), 0) for i in range(count)]

    async def write(self, put: Put, unit: int, timeout_s: float) -> None:
        self.wire.append((f"write {put.function}", put.address, put.values))
        silent = self.lost or self.dropped
        await self.clock.sleep_until(self.clock.boot_ms() + (round(timeout_s * 1000) if silent else REPLY_MS))
        if put.function in self.refused:
            raise self.refused[put.function]
        if self.dropped:
            self.dropped -= 1
            raise NoReply("no reply")
        if self.slow_ms == 0:
            self._take(put)
        elif self.slow_ms is not None:
            asyncio.get_running_loop().create_task(self._later(put, self.slow_ms))
        if self.lost:
            self.lost -= 1
            raise NoReply("no reply")

    def close(self) -> None:
        self.connected = False

    def written(self) -> list[str]:
        """The writes that went out."""
        return [what for what, _, _ in self.wire if what.startswith("write")]

    async def _later(self, put: Put, wait_ms: int) -> None:
        await self.clock.sleep_until(self.clock.boot_ms() + wait_ms)
        self._take(put)

    def _take(self, put: Put) -> None:
        for i, value in enumerate(put.values):
            key = (put.table, put.address + i)
            mask = 0xFFFF if put.mask is None else put.mask
            self.cells[key] = self.cells.get(key, 0) & ~mask | value & mask


class WriteWorld:
    """A driver with one device `m` of the given tags over a MemoryBus; the tags are polled each hour."""

    def __init__(self, *tags: dict[str, Any], interval_s: float = 3600, **device: Any) -> None:
        self.clock = ManualClock()
        self.bus = MemoryBus(self.clock)
        self.frames: list[Frame] = []
        self.said: list[str] = []
        self.driver = ModbusDriver(self.clock, notice=self.said.append, open_client=self._open)
        group = {"name": "g", "interval_s": interval_s, "tags": list(tags)}
        transport = {"kind": "tcp", "host": "h"}
        made = {"name": "m", "transport": transport, "timeout_s": 1, "groups": [group]} | device
        self.driver.apply(self.driver.plan({"devices": [made]}))

    async def write(self, *values: tuple[str, Any], within_ms: int = 60_000) -> Reply:
        """Have tags of `m` written; time goes on until there is a reply."""
        rows = [{"series": f"m/{name}", "value": value} for name, value in values]
        return await self.call({"values": rows}, within_ms=within_ms)

    async def call(self, args: dict[str, Any], *, within_ms: int = 60_000) -> Reply:
        """A request `write` with these arguments."""
        deadline_ms = self.clock.utc_ms() + within_ms
        request = Request("w", 1, "write", args, deadline_ms, "direct")
        call = asyncio.ensure_future(self.driver.call(request))
        while not call.done():
            await self.clock.advance(5)
        return await call

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            run = group.create_task(self.driver.run(self.frames.append))
            await self.clock.advance(3_600_000)  # the first poll of each tag is over
            self.bus.wire.clear()
            self.frames.clear()
            try:
                yield
            finally:
                self.driver.stop()
                await self.clock.advance(10_000)
            assert run.done()

    def _open(self, transport: Transport) -> MemoryBus:
        return self.bus


def tag(name: str = "x", kind: str = "uint16", address: int = 10, **more: Any) -> dict[str, Any]:
    """A holding register that may be written."""
    made = {"name": name, "table": "holding", "address": address, "type": kind, "write": {"allow": True}}
    return made | more


def coil(name: str = "c", address: int = 3, **more: Any) -> dict[str, Any]:
    """A coil that may be written."""
    return {"name": name, "table": "coil", "address": address, "write": {"allow": True}} | more
