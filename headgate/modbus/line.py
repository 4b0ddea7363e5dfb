"""One line (a TCP endpoint or a serial port) and the devices on it: one task, one transaction in flight."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from headgate.clock import Clock
from headgate.driver import Emit, Refused
from headgate.errors import Retry
from headgate.lane import URGENT_IN_A_ROW
from headgate.modbus.breaker import Breaker
from headgate.modbus.client import CONFIGURATION_EXCEPTIONS, Client, ExceptionReply, NotConnected, WrongReply
from headgate.modbus.config import Rtu, Transport
from headgate.modbus.schedule import Schedule
from headgate.modbus.work import Answer, Ask, Errand, Poll, Read, Unit
from headgate.model import Frame, Quality
from headgate.sleeper import Sleeper

IDLE_MS = 3_600_000
SILENCES_TO_RECONNECT = 3
"""Reads in a row without any reply after which a connection counts as dead: its silence tells nothing."""
RECONNECT_FIRST_MS = 500
RECONNECT_MAX_MS = 5_000
SERIAL_QUIET_MS = 50
"""How long a serial line is left alone after a missing reply, so that a late one answers nothing else."""
MAX_ERRANDS = 256
"""Errands that wait for a line; one more is refused as `too_many`."""

Notice = Callable[[str], None]


@dataclass(slots=True)
class LineCounters:
    """What happened on a line since it was opened; `reads` are transactions, `errands` those of errands."""

    reads: int = 0
    errands: int = 0
    failures: int = 0
    connects: int = 0
    skipped: int = 0


class Line:
    """Polls the groups on one transport until stopped; a broken device or connection marks its series.

    Only `run` speaks on the transport, so no transaction is ever cut off by whoever asked for it. Before each
    transaction of a poll it serves the errands that wait, in order of arrival, but at most URGENT_IN_A_ROW
    transactions of theirs in a row while a poll is due: an errand waits for one transaction of a poll, and
    polls keep their share of the line.
    """

    def __init__(self, transport: Transport, client: Client, clock: Clock, notice: Notice) -> None:
        self.transport = transport
        self.counters = LineCounters()
        self.schedule: Schedule[Poll] = Schedule()
        self._errands: deque[Errand] = deque()
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
        """Have `run` return after the transaction in flight; errands not begun are given up."""
        self._stopping = True
        self._sleeper.wake()

    def send(self, errand: Errand) -> None:
        """Have an errand done before any poll. Raises Refused (too many wait already) or Retry (closing)."""
        if self._stopping:
            raise Retry(f"{self.transport} is being closed")
        if len(self._errands) >= MAX_ERRANDS:
            raise Refused("too_many", f"{len(self._errands)} reads wait for {self.transport} already")
        self._errands.append(errand)
        self._sleeper.wake()

    async def run(self, emit: Emit) -> None:
        """Poll and do errands until stopped, then close the transport."""
        try:
            while not self._stopping:
                await self._give_way()
                now_ms = self._clock.boot_ms()
                poll = self.schedule.take(now_ms)
                if poll is not None:
                    await self._poll(poll, now_ms, emit)
                elif not self._errands and not self._stopping:
                    due_ms = self.schedule.next_ms()
                    await self._sleeper.until(now_ms + IDLE_MS if due_ms is None else due_ms)
        finally:
            self._stopping = True
            self._give_up()
            self._client.close()

    async def _give_way(self) -> None:
        """Serve the errands that wait, so many transactions of theirs as may go before a poll's."""
        for _ in range(URGENT_IN_A_ROW):
            while self._errands and self._errands[0].done.done():
                self._errands.popleft()
            if not self._errands or self._stopping:
                return
            await self._serve(self._errands[0])

    async def _serve(self, errand: Errand) -> None:
        """One transaction of an errand, or none where the unit is left alone."""
        unit, ask = errand.unit, errand.asks[len(errand.results)]
        wait_ms = unit.breaker.retry_at_ms - self._clock.boot_ms()
        if unit.breaker.open and wait_ms > 0 and not errand.tries:
            errand.fail(Retry(f"{unit.fault or 'silent'}; left alone for {wait_ms / 1000:.1f} s more"))
            return
        retries = 0 if unit.breaker.open else unit.device.retries
        self.counters.errands += 1
        try:
            result = await self._transact(unit, ask)
        except ExceptionReply as error:
            self._heard(unit)
            errand.answer(error)
        except Retry as error:
            errand.tries += 1
            if errand.tries > retries or self._stopping:
                self._missed(unit, error)
                errand.fail(error)
        else:
            self._heard(unit)
            errand.answer(result)

    def _give_up(self) -> None:
        while self._errands:
            self._errands.pop().fail(Retry(f"{self.transport} is being closed"))

    async def _transact(self, unit: Unit, ask: Ask) -> Answer:
        """One transaction. Raises Retry (not connected, no or a wrong reply) or ExceptionReply."""
        device = unit.device
        try:
            await self._connected(device.timeout_s)
            self.counters.reads += 1
            data = await self._client.read(ask.table, device.unit, ask.address, ask.count, device.timeout_s)
            now_ms = self._clock.boot_ms()
        except Retry as error:
            self.counters.failures += 1
            await self._after_failure(error)
            raise
        self._silences = 0
        return now_ms, data

    async def _attempts(self, unit: Unit, ask: Ask) -> Answer:
        """A poll's transaction, repeated where it was lost; errands go before each repetition."""
        retries = 0 if unit.breaker.open else unit.device.retries
        while True:
            try:
                return await self._transact(unit, ask)
            except Retry:
                if retries <= 0 or self._stopping:
                    raise
                retries -= 1
            await self._give_way()

    async def _poll(self, poll: Poll, now_ms: int, emit: Emit) -> None:
        unit = poll.unit
        if not unit.breaker.allows(now_ms):
            self.counters.skipped += 1
            return
        for index, read in enumerate(poll.reads):
            if index:
                await self._give_way()
            try:
                boot_ms, data = await self._attempts(unit, read.ask)
            except ExceptionReply as error:
                self._refused(poll, index, error, emit)
            except Retry as error:
                self._lost(poll, index, error, emit)
                return
            else:
                values, quality = read.decode(data)
                emit(Frame(boot_ms, read.series, values, quality))
                poll.refused.pop(index, None)
                self._heard(unit)
            if self._stopping:
                return

    def _heard(self, unit: Unit) -> None:
        unit.breaker.succeeded()
        if unit.fault:
            unit.fault = ""
            self._notice(f"{unit.device.name}: answers again")

    def _refused(self, poll: Poll, index: int, error: ExceptionReply, emit: Emit) -> None:
        """The device answers, but not this read: its series are marked, the others go on."""
        unit, read = poll.unit, poll.reads[index]
        self._heard(unit)
        ours = error.code in CONFIGURATION_EXCEPTIONS
        if poll.refused.get(index) != error.code:
            poll.refused[index] = error.code
            hint = "; check the addresses and max_gap in the site document" if ours else ""
            self._notice(
                f"{unit.device.name}/{poll.name}: {error} for {read.ask.table} {read.ask.address} to "
                f"{read.ask.address + read.ask.count - 1}{hint}"
            )
        bad = Quality.BAD_CONFIG if ours else Quality.BAD_COMM
        emit(_marked(self._clock.boot_ms(), read, bad))

    def _lost(self, poll: Poll, index: int, error: Retry, emit: Emit) -> None:
        """The device does not answer: what was left to read of this tick is marked, once."""
        self._missed(poll.unit, error)
        for read in poll.reads[index:]:
            emit(_marked(self._clock.boot_ms(), read, Quality.BAD_COMM))

    def _missed(self, unit: Unit, error: Retry) -> None:
        unit.breaker.failed(self._clock.boot_ms())
        if not unit.fault:
            unit.fault = str(error)
            self._notice(f"{unit.device.name}: {error} ({self.transport}, unit {unit.device.unit})")

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
