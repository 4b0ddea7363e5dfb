"""One line (a TCP endpoint or a serial port) and the devices on it: one task, one transaction in flight."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from headgate.clock import Clock
from headgate.driver import Emit, Refused
from headgate.errors import Retry
from headgate.lane import URGENT_IN_A_ROW
from headgate.modbus.channel import Channel, LineCounters
from headgate.modbus.client import Client, ExceptionReply, OutOfReach
from headgate.modbus.puts import Put
from headgate.modbus.schedule import Schedule
from headgate.modbus.search import Search, marked
from headgate.modbus.transports import Transport
from headgate.modbus.work import Answer, Ask, Errand, Poll, Unit
from headgate.model import Quality
from headgate.sleeper import Sleeper

IDLE_MS = 3_600_000
MAX_ERRANDS = 256
"""Errands that wait for a line; one more is refused as `too_many`."""

Notice = Callable[[str], None]


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
        self._channel = Channel(transport, client, clock, self.counters)
        self._clock = clock
        self._notice = notice
        self._sleeper = Sleeper(clock)
        self._stopping = False

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
                    self._channel.rest()
                    due_ms = self.schedule.next_ms()
                    await self._sleeper.until(now_ms + IDLE_MS if due_ms is None else due_ms)
        finally:
            self._stopping = True
            self._give_up()
            self._channel.close()

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
        retries = 0 if unit.breaker.open or isinstance(ask, Put) else unit.device.retries
        self.counters.errands += 1
        errand.begun = True
        try:
            result = await self._channel.carry(unit, ask)
        except ExceptionReply as error:
            self._heard(unit)
            errand.answer(error)
        except Retry as error:
            errand.tries += 1
            if errand.tries > retries or self._stopping:
                self._missed(unit, error, tries=errand.tries)
                errand.fail(error)
        else:
            self._heard(unit)
            errand.answer(result)

    def _give_up(self) -> None:
        while self._errands:
            self._errands.pop().fail(Retry(f"{self.transport} is being closed"))

    async def _attempts(self, unit: Unit, ask: Ask) -> Answer:
        """A poll's transaction, repeated where it was lost; errands go before each repetition."""
        retries = 0 if unit.breaker.open else unit.device.retries
        while True:
            try:
                return await self._channel.carry(unit, ask)
            except OutOfReach:
                raise
            except Retry:
                if retries <= 0 or self._stopping:
                    raise
                retries -= 1
            await self._give_way()

    async def _poll(self, poll: Poll, now_ms: int, emit: Emit) -> None:
        unit = poll.unit
        if not unit.breaker.allows(now_ms) or not self._channel.in_reach(now_ms):
            self._skip(poll, emit)
            return
        if poll.plan.is_stale(now_ms):
            poll.reads = poll.plan.reads(now_ms)
        search = Search(self._attempts, self._give_way, self._clock, self._notice)
        for index, read in enumerate(poll.reads):
            if index:
                await self._give_way()
            try:
                await search.read(poll, read, emit)
            except Retry as error:
                self._lost(poll, index, error, emit)
                return
            self._heard(unit)
            poll.marked = False
            if self._stopping:
                return
        poll.fresh_ms, poll.stale = self._clock.boot_ms(), False

    def _heard(self, unit: Unit) -> None:
        unit.breaker.succeeded()
        if unit.fault:
            unit.fault = ""
            self._notice(f"{unit.device.name}: answers again")
            unit.doubt()

    def _skip(self, poll: Poll, emit: Emit) -> None:
        """The unit is left alone, or nothing can be: the first tick that passes so marks the series."""
        self.counters.skipped += 1
        if not poll.marked:
            self._fault(poll.unit, f"no connection to {self.transport}")
            self._mark(poll, 0, emit)

    def _lost(self, poll: Poll, index: int, error: Retry, emit: Emit) -> None:
        """The device does not answer: what was left to read of this tick is marked, once."""
        self._missed(poll.unit, error, tries=1 if poll.unit.breaker.open else 1 + poll.unit.device.retries)
        self._mark(poll, index, emit)

    def _missed(self, unit: Unit, error: Retry, *, tries: int) -> None:
        if not isinstance(error, OutOfReach):
            unit.breaker.failed(self._clock.boot_ms(), cost_ms=unit.cost_ms, tries=tries)
        self._fault(unit, str(error))

    def _fault(self, unit: Unit, fault: str) -> None:
        if not unit.fault and not unit.stranger:
            unit.fault = fault
            self._notice(f"{unit.device.name}: {fault} ({self.transport}, unit {unit.device.unit})")

    def _mark(self, poll: Poll, index: int, emit: Emit) -> None:
        poll.marked = True
        poll.fresh_ms, poll.stale = self._clock.boot_ms(), False
        for read in poll.reads[index:]:
            emit(marked(self._clock.boot_ms(), read, Quality.BAD_COMM))
