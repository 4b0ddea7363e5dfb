"""Transactions on a transport, one at a time: connecting, pauses, and no late reply to another question."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from headgate.clock import Clock
from headgate.errors import Retry
from headgate.modbus.breaker import Breaker
from headgate.modbus.client import (
    GATEWAY_EXCEPTIONS,
    AbsentUnit,
    Client,
    ExceptionReply,
    NoReply,
    NotConnected,
    OutOfReach,
    WrongReply,
)
from headgate.modbus.config import Device
from headgate.modbus.owed import Owed
from headgate.modbus.puts import Put
from headgate.modbus.transports import Ascii, Rtu, Transport, longest_frame_ms, numbered, silence_ms
from headgate.modbus.work import Answer, Ask, Unit
from headgate.write_steps import Unconfirmed

SILENCES_TO_RECONNECT = 3
"""Reads in a row without any reply after which a connection counts as dead: its silence tells nothing."""
RECONNECT_FIRST_MS = 500
RECONNECT_MAX_MS = 5_000
QUIET_MS = 50
"""After a missing reply a line without transaction ids is left alone until it was silent for so long."""
MAX_DRAIN_MS = 500
"""A line that is never silent is used again after this, or after the longest frame there is."""
_LONG_AGO_MS = -(1 << 60)


@dataclass(slots=True)
class LineCounters:
    """What happened on a line since it was opened; `reads` are transactions, `errands` those of errands,
    `writes` those that write.

    `proofs` are the reads that were only made to see that no late reply is under way.
    """

    reads: int = 0
    errands: int = 0
    writes: int = 0
    proofs: int = 0
    failures: int = 0
    connects: int = 0
    skipped: int = 0


class Channel:
    """Carries one transaction at a time. Repeating what was lost is the line's."""

    def __init__(self, transport: Transport, client: Client, clock: Clock, counters: LineCounters) -> None:
        self._transport = transport
        self._numbered = numbered(transport)
        self._silence_ms = silence_ms(transport)
        self._client = client
        self._clock = clock
        self._counters = counters
        self._silences = 0
        self._connect = Breaker(1, RECONNECT_FIRST_MS, RECONNECT_MAX_MS)
        self._connected_ms = self._ended_ms = _LONG_AGO_MS
        self._single = False
        # By unit id: what is under way does not care about a device that was configured anew.
        self._owed: defaultdict[int, Owed] = defaultdict(Owed)

    def in_reach(self, now_ms: int) -> bool:
        """Whether there is a connection, or one may be tried."""
        return self._client.connected or self._connect.allows(now_ms)

    async def carry(self, unit: Unit, ask: Ask | Put) -> Answer:
        """One transaction. Raises ExceptionReply, or what is Retry: OutOfReach, NotConnected, NoReply,
        WrongReply, AbsentUnit; of a write that went out, Unconfirmed instead.
        """
        started_ms = self._clock.boot_ms()
        try:
            await self.connect(unit.device)
            if not self._numbered and self._doubts(unit, ask):
                await self._prove(unit, ask)
            if isinstance(ask, Ask):
                return await self._exchange(unit, ask)
            return await self._write(unit, ask)
        except Retry:
            self._counters.failures += 1
            unit.cost_ms = self._clock.boot_ms() - started_ms
            raise

    async def inquire(self, unit: Unit, ask: Callable[[float], Awaitable[bytes]]) -> bytes:
        """Any other transaction that changes nothing; `ask` gets the reply's time-out, s. Raises as `carry`.

        No late reply to it can be taken for that to a read, which has another function code.
        """
        await self.connect(unit.device)
        await self._ready(unit.device)
        self._counters.reads += 1
        try:
            try:
                reply = await ask(unit.device.timeout_s)
            finally:
                self._ended_ms = self._clock.boot_ms()
        except Retry as error:
            self._counters.failures += 1
            await self._after_failure(error)
            raise
        self._silences = 0
        return reply

    def rest(self) -> None:
        """Nothing is due: hang up where a device wants its connection closed."""
        if self._single:
            self.close()

    def close(self) -> None:
        """Close the transport; the next read opens it again."""
        self._single = False
        self._client.close()

    async def connect(self, device: Device) -> None:
        """Have a connection: the one there is, or a new one. Raises OutOfReach."""
        if self._client.connected:
            return
        if not self._connect.allows(self._clock.boot_ms()):
            raise OutOfReach(f"no connection to {self._transport}")
        try:
            await self._client.connect(device.connect_timeout_s)
        except NotConnected as error:
            self._connect.failed(self._clock.boot_ms())
            raise OutOfReach(str(error)) from error
        self._counters.connects += 1
        self._silences = 0
        self._connected_ms = self._clock.boot_ms()
        self._connect.succeeded()

    async def _write(self, unit: Unit, put: Put) -> Answer:
        self._counters.writes += 1
        try:
            return await self._exchange(unit, put)
        except Retry as error:
            raise Unconfirmed(f"{error}; whether it was written is not known") from error

    async def _exchange(self, unit: Unit, ask: Ask | Put) -> Answer:
        device = unit.device
        await self._ready(device)
        self._single = self._single or device.single_connection
        self._counters.reads += 1
        data: Sequence[int] = ()
        try:
            try:
                if isinstance(ask, Ask):
                    data = await self._client.read(
                        ask.table, device.unit, ask.address, ask.count, device.timeout_s
                    )
                else:
                    await self._client.write(ask, device.unit, device.timeout_s)
            finally:
                now_ms = self._ended_ms = self._clock.boot_ms()
        except ExceptionReply as error:
            self._silences = 0
            if not self._doubts(unit, ask):
                self._owed[device.unit].settle()
            if error.code in GATEWAY_EXCEPTIONS:
                raise AbsentUnit(str(error)) from error
            raise
        except Retry as error:
            if isinstance(ask, Ask):
                self._owed[device.unit].missed(ask.table, ask.count, now_ms)
            else:
                self._owed[device.unit].missed_write(ask.function, now_ms)
            await self._after_failure(error, stranger=unit.stranger)
            raise
        self._silences = 0
        self._owed[device.unit].settle()
        return now_ms, data

    async def _ready(self, device: Device) -> None:
        """Keep the silence between two frames, and the pauses that the device wants."""
        pause_ms = max(self._silence_ms, round(device.pause_between_requests_s * 1000))
        ready_ms = max(
            self._ended_ms + pause_ms, self._connected_ms + round(device.pause_after_connect_s * 1000)
        )
        if ready_ms > self._clock.boot_ms():
            await self._clock.sleep_until(ready_ms)

    def _doubts(self, unit: Unit, ask: Ask | Put) -> bool:
        timeout_ms = round(unit.device.timeout_s * 1000)
        owed, now_ms = self._owed[unit.device.unit], self._clock.boot_ms()
        if isinstance(ask, Put):
            return owed.doubts_write(ask.function, now_ms, timeout_ms)
        return owed.doubts(ask.table, now_ms, timeout_ms)

    async def _prove(self, unit: Unit, ask: Ask | Put) -> None:
        """See to it that no late reply of the unit can be taken for the one to `ask`. Raises as `read`."""
        # A read of the register that is to be written is as good a proof as any other read.
        length = ask.count if isinstance(ask, Ask) else 9
        for table, count in self._owed[unit.device.unit].proofs(ask.table, length):
            self._counters.proofs += 1
            try:
                await self._exchange(unit, Ask(table, ask.address, count))
            except ExceptionReply:
                if self._doubts(unit, ask):
                    continue
            return
        raise NoReply("its reply to an earlier request may still be under way")

    async def _after_failure(self, error: Retry, *, stranger: bool = False) -> None:
        """Leave the transport so that nothing of this transaction can answer the next one."""
        if isinstance(error, NotConnected):
            self._client.close()
            return
        self._silences += not stranger
        dead = self._silences >= SILENCES_TO_RECONNECT and not isinstance(self._transport, Rtu | Ascii)
        if dead or (self._numbered and isinstance(error, WrongReply)):
            self._client.close()
        elif not self._numbered:
            await self._drain()

    async def _drain(self) -> None:
        """Wait until the line is silent; what arrives meanwhile is thrown away."""
        quiet_ms = max(QUIET_MS, self._silence_ms)
        end_ms = self._clock.boot_ms() + max(MAX_DRAIN_MS, longest_frame_ms(self._transport))
        heard = None
        while heard != self._client.heard and self._clock.boot_ms() < end_ms:
            heard = self._client.heard
            await self._clock.sleep_until(self._clock.boot_ms() + quiet_ms)
