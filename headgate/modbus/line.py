"""One line (a TCP endpoint or a serial port) and the devices on it: one task, one transaction in flight."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from headgate.clock import Clock
from headgate.driver import Emit
from headgate.errors import Retry
from headgate.modbus.breaker import Breaker
from headgate.modbus.client import CONFIGURATION_EXCEPTIONS, Client, ExceptionReply, NotConnected, WrongReply
from headgate.modbus.codec import Decode
from headgate.modbus.config import Device, Rtu, Table, Transport
from headgate.modbus.schedule import Schedule
from headgate.model import Frame, Quality
from headgate.sleeper import Sleeper

IDLE_MS = 3_600_000
SILENCES_TO_RECONNECT = 3
"""Reads in a row without any reply after which a connection counts as dead: its silence tells nothing."""
RECONNECT_FIRST_MS = 500
RECONNECT_MAX_MS = 5_000
SERIAL_QUIET_MS = 50
"""How long a serial line is left alone after a missing reply, so that a late one answers nothing else."""

Notice = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Read:
    """One request of a poll group: what to ask, whose series the answer feeds, and how it is decoded."""

    table: Table
    address: int
    count: int
    series: tuple[int, ...]
    decode: Decode


@dataclass(slots=True, eq=False)
class Unit:
    """A device as its line sees it. `fault` is what is wrong with it, empty while it answers."""

    device: Device
    breaker: Breaker = field(default_factory=Breaker)
    fault: str = ""


@dataclass(slots=True, eq=False)
class Poll:
    """A poll group as its line sees it; `refused` holds the exception code of each refused read."""

    unit: Unit
    name: str
    interval_ms: int
    reads: Sequence[Read]
    refused: dict[int, int] = field(default_factory=dict)


@dataclass(slots=True)
class LineCounters:
    """What happened on a line since it was opened."""

    reads: int = 0
    failures: int = 0
    connects: int = 0
    skipped: int = 0


class Line:
    """Polls the groups on one transport until stopped; a broken device or connection marks its series.

    `lock` is held for each transaction. It is fair: a request from outside waits for one transaction at most.
    """

    def __init__(self, transport: Transport, client: Client, clock: Clock, notice: Notice) -> None:
        self.transport = transport
        self.lock = asyncio.Lock()
        self.counters = LineCounters()
        self.schedule: Schedule[Poll] = Schedule()
        self._client = client
        self._clock = clock
        self._notice = notice
        self._sleeper = Sleeper(clock)
        self._stopping = False
        self._silences = 0
        self._connect = Breaker(1, RECONNECT_FIRST_MS, RECONNECT_MAX_MS)

    def changed(self) -> None:
        """Look at the schedule again; call after changing it."""
        self._sleeper.wake()

    def stop(self) -> None:
        """Have `run` return after the transaction in flight."""
        self._stopping = True
        self._sleeper.wake()

    async def run(self, emit: Emit) -> None:
        """Poll until stopped, then close the transport."""
        try:
            while not self._stopping:
                due_ms = self.schedule.next_ms()
                now_ms = self._clock.boot_ms()
                if due_ms is None or due_ms > now_ms:
                    await self._sleeper.until(now_ms + IDLE_MS if due_ms is None else due_ms)
                    continue
                poll = self.schedule.take(now_ms)
                if poll is not None:
                    await self._poll(poll, now_ms, emit)
        finally:
            self._client.close()

    async def read(
        self, unit: Unit, table: Table, address: int, count: int, *, retries: int
    ) -> tuple[int, Sequence[int]]:
        """One transaction, repeated up to `retries` times; return the reply's boottime and its data.

        Raises Retry (not connected, no or a wrong reply) or ExceptionReply.
        """
        device = unit.device
        async with self.lock:
            while True:
                try:
                    await self._connected(device.timeout_s)
                    self.counters.reads += 1
                    data = await self._client.read(table, device.unit, address, count, device.timeout_s)
                    now_ms = self._clock.boot_ms()
                except Retry as error:
                    self.counters.failures += 1
                    await self._after_failure(error)
                    if retries <= 0 or self._stopping:
                        raise
                    retries -= 1
                else:
                    self._silences = 0
                    return now_ms, data

    async def _poll(self, poll: Poll, now_ms: int, emit: Emit) -> None:
        unit = poll.unit
        if not unit.breaker.allows(now_ms):
            self.counters.skipped += 1
            return
        for index, read in enumerate(poll.reads):
            retries = 0 if unit.breaker.open else unit.device.retries
            try:
                boot_ms, data = await self.read(unit, read.table, read.address, read.count, retries=retries)
            except ExceptionReply as error:
                self._refused(poll, index, error, emit)
            except Retry as error:
                self._lost(poll, index, error, emit)
                return
            else:
                values, quality = read.decode(data)
                emit(Frame(boot_ms, read.series, values, quality))
                self._answered(poll, index)
            if self._stopping:
                return

    def _answered(self, poll: Poll, index: int) -> None:
        unit = poll.unit
        unit.breaker.succeeded()
        poll.refused.pop(index, None)
        if unit.fault:
            unit.fault = ""
            self._notice(f"{unit.device.name}: answers again")

    def _refused(self, poll: Poll, index: int, error: ExceptionReply, emit: Emit) -> None:
        """The device answers, but not this read: its series are marked, the others go on."""
        unit, read = poll.unit, poll.reads[index]
        unit.breaker.succeeded()
        ours = error.code in CONFIGURATION_EXCEPTIONS
        if poll.refused.get(index) != error.code:
            poll.refused[index] = error.code
            hint = "; check the addresses and max_gap in the site document" if ours else ""
            self._notice(
                f"{unit.device.name}/{poll.name}: {error} for {read.table} {read.address} to "
                f"{read.address + read.count - 1}{hint}"
            )
        bad = Quality.BAD_CONFIG if ours else Quality.BAD_COMM
        emit(_marked(self._clock.boot_ms(), read, bad))

    def _lost(self, poll: Poll, index: int, error: Retry, emit: Emit) -> None:
        """The device does not answer: what was left to read of this tick is marked, once."""
        unit = poll.unit
        now_ms = self._clock.boot_ms()
        unit.breaker.failed(now_ms)
        if not unit.fault:
            unit.fault = str(error)
            self._notice(f"{unit.device.name}: {error} ({self.transport}, unit {unit.device.unit})")
        for read in poll.reads[index:]:
            emit(_marked(now_ms, read, Quality.BAD_COMM))

    async def _connected(self, timeout_s: float) -> None:
        if self._client.connected:
            return
        now_ms = self._clock.boot_ms()
        if not self._connect.allows(now_ms):
            raise NotConnected(f"no connection to {self.transport}")
        try:
            await self._client.connect(timeout_s)
        except NotConnected:
            self._connect.failed(self._clock.boot_ms())
            raise
        self.counters.connects += 1
        self._silences = 0
        self._connect.succeeded()

    async def _after_failure(self, error: Retry) -> None:
        """Leave the transport so that nothing of this transaction can answer the next one."""
        if isinstance(error, NotConnected):
            self._client.close()
            return
        self._silences += 1
        if isinstance(self.transport, Rtu):
            await self._clock.sleep_until(self._clock.boot_ms() + SERIAL_QUIET_MS)
        elif isinstance(error, WrongReply) or self._silences >= SILENCES_TO_RECONNECT:
            self._client.close()


def _marked(boot_ms: int, read: Read, quality: Quality) -> Frame:
    size = len(read.series)
    return Frame(boot_ms, read.series, (None,) * size, (int(quality),) * size)
