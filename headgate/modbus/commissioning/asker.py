"""The read-only way to devices: nothing but reads and questions about the device itself leaves here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Protocol, Self, TypeVar

from headgate.clock import Clock
from headgate.errors import Retry
from headgate.modbus.channel import RECONNECT_FIRST_MS, Channel, LineCounters
from headgate.modbus.client import ExceptionReply, OutOfReach
from headgate.modbus.config import MAX_BITS, MAX_REGISTERS, Device
from headgate.modbus.inquiry import Inquiry
from headgate.modbus.link import PymodbusClient
from headgate.modbus.transports import Transport
from headgate.modbus.work import Ask, Unit

READ_ONLY = (b"\x01", b"\x02", b"\x03", b"\x04", b"\x11", b"\x2b\x0e")
"""How the PDU of a request must start: reading coils, discrete inputs, holding and input registers, the
server id, the device identification. Whatever starts otherwise is refused at the door to the wire."""

BUSY = frozenset({5, 6})
"""Exception codes of a device that is there and has no time: acknowledge, busy (V1.1b3, 7)."""
BUSY_TRIES = 3
BUSY_PAUSE_MS = 200
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Timing:
    """How long to wait, s, and how often to ask again."""

    connect_timeout_s: float = 3.0
    timeout_s: float = 1.0
    retries: int = 1
    pause_s: float = 0.0


class Reader(Protocol):
    """What can be read from."""

    async def read(self, unit: int, ask: Ask) -> Sequence[int]:
        """`ask.count` registers or bits. Raises ExceptionReply, or what is Retry, as `Channel.carry`."""


class Asker:
    """One transport, open while the context is; `requests` counts what was asked."""

    def __init__(self, transport: Transport, timing: Timing, clock: Clock) -> None:
        self.transport = transport
        self.requests = 0
        self._clock = clock
        self._timing = timing
        self._client = PymodbusClient(transport, permits=READ_ONLY)
        self._channel = Channel(transport, self._client, clock, LineCounters())
        self._units: dict[int, Unit] = {}

    async def __aenter__(self) -> Self:
        """Open the transport. Raises OutOfReach."""
        await self._channel.connect(self._unit(1).device)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._channel.close()

    async def read(self, unit: int, ask: Ask) -> Sequence[int]:
        """See `Reader.read`. A device that says it is busy is asked again after a while, a few times."""
        for patience in range(BUSY_TRIES, -1, -1):
            try:
                _, values = await self._tried(lambda: self._channel.carry(self._unit(unit), ask))
            except ExceptionReply as error:
                if not patience or error.code not in BUSY:
                    raise
                await self._clock.sleep_until(self._clock.boot_ms() + BUSY_PAUSE_MS)
            else:
                return values[: ask.count]
        raise AssertionError("the last try returns or raises")

    async def inquire(self, unit: int, inquiry: Inquiry) -> bytes:
        """The PDU of the reply. Raises as `read`."""
        ask = partial(self._client.inquire, inquiry, unit)
        return await self._tried(lambda: self._channel.inquire(self._unit(unit), ask))

    async def _tried(self, transaction: Callable[[], Awaitable[T]]) -> T:
        """Repeat what was lost; some devices hang up on what they do not know, and can be asked anew."""
        for left in range(self._timing.retries, -1, -1):
            self.requests += 1
            try:
                return await transaction()
            except OutOfReach:
                if not left:
                    raise
                await self._clock.sleep_until(self._clock.boot_ms() + RECONNECT_FIRST_MS)
            except Retry:
                if not left:
                    raise
        raise AssertionError("the last try returns or raises")

    def _unit(self, number: int) -> Unit:
        if number not in self._units:
            timing = self._timing
            device = Device(
                name=f"unit-{number}",
                transport=self.transport,
                unit=number,
                connect_timeout_s=timing.connect_timeout_s,
                timeout_s=timing.timeout_s,
                retries=timing.retries,
                pause_after_connect_s=timing.pause_s,
                pause_between_requests_s=timing.pause_s,
                single_connection=False,
                max_registers=MAX_REGISTERS,
                max_bits=MAX_BITS,
                max_gap=0,
                groups=(),
            )
            self._units[number] = Unit(device)
        return self._units[number]
