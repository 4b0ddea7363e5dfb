"""Short sessions with devices: few at a time, one connect at a time, the cloud's before polls."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from dataclasses import dataclass

from headgate.ble.adapters import AdapterConfig
from headgate.ble.pausing import Pausing
from headgate.ble.radio import Radio, Session
from headgate.clock import Clock
from headgate.errors import Reject, Retry
from headgate.lane import Lane

ATTEMPTS = 3
PAUSE_MS = 500
"""Before the second attempt, half as much more or less; twice as long before the third."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A characteristic read at a boottime, or the error that stands in its place."""

    uuid: str
    boot_ms: int
    data: bytes | None
    error: str = ""


class Gatt:
    """The connections of one adapter. Short sessions, so that devices and slots are free for others."""

    def __init__(
        self,
        radio: Radio,
        clock: Clock,
        rng: random.Random,
        config: AdapterConfig,
        paused: Callable[[], AbstractAsyncContextManager[None]],
    ) -> None:
        self.reads = 0
        self.writes = 0
        self.failures = 0
        self.connects = 0
        self._pausing, self._paused = Pausing(config.pause_scan), paused
        self._radio = radio
        self._clock = clock
        self._rng = rng
        self._slots = Lane(config.connections)
        self._connecting = Lane(1)
        self._devices: dict[str, Lane] = {}

    async def read(
        self,
        address: str,
        uuids: Sequence[str],
        timeout_s: float,
        each: Callable[[Reading], None],
        connected: Callable[[], None] = lambda: None,
        *,
        urgent: bool = False,
        pair: bool = False,
    ) -> None:
        """Connect, read, disconnect; `each` gets every characteristic's reading as it arrives.

        `timeout_s` limits each step. Only with `pair` is a device paired with. What is `urgent` goes before
        what is not, for a slot and for the one connect at a time (see `headgate.lane`). `connected` is called
        when reading begins. Raises Retry when there was no connection; then `each` was not called.
        """
        async with self.turn(address, timeout_s, urgent=urgent, pair=pair) as connect:
            session = await connect()
            try:
                connected()
                await self._read(session, uuids, timeout_s, each)
            finally:
                await session.close()

    @asynccontextmanager
    async def turn(
        self, address: str, timeout_s: float, *, urgent: bool = False, pair: bool = False
    ) -> AsyncIterator[Callable[[], Awaitable[Session]]]:
        """Hold a slot, and the device, while entered; what it gives connects, one session after the other.

        See `read`. Both raise Retry. Who connects closes the session.
        """
        await self._radio.found(address, timeout_s)
        # BlueZ has one connection to a device: the session that ends first would end the other with it.
        # The slot comes first: who waits for a device waits for a session, never for one that has no slot.
        device = self._devices.setdefault(address, Lane(1))
        async with self._slots.turn(urgent=urgent), device.turn(urgent=urgent):
            yield lambda: self._connect(address, timeout_s, urgent=urgent, pair=pair)

    async def _read(
        self, session: Session, uuids: Sequence[str], timeout_s: float, each: Callable[[Reading], None]
    ) -> None:
        gone = ""
        for uuid in uuids:
            data, error = None, gone
            if not gone:
                try:
                    data = await session.read(uuid, timeout_s)
                    self.reads += 1
                except Reject as refused:
                    error = str(refused)
                except Retry as lost:
                    # A device that left one read unanswered would leave the others so too.
                    gone = error = str(lost)
            if error:
                self.failures += 1
            each(Reading(uuid, self._clock.boot_ms(), data, error))

    async def _connect(self, address: str, timeout_s: float, *, urgent: bool, pair: bool) -> Session:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                async with self._connecting.turn(urgent=urgent):
                    return await self._attempt(address, timeout_s, attempt, pair=pair)
            except Retry:
                self.failures += 1
                if attempt == ATTEMPTS:
                    raise
            pause_ms = round((PAUSE_MS << (attempt - 1)) * self._rng.uniform(0.5, 1.5))
            await self._clock.sleep_until(self._clock.boot_ms() + pause_ms)
            await self._radio.found(address, timeout_s)
        raise AssertionError("the last attempt returns or raises")

    async def _attempt(self, address: str, timeout_s: float, attempt: int, *, pair: bool) -> Session:
        pause, connected = self._pausing.wanted(address, attempt, self._clock.boot_ms()), False
        try:
            async with self._paused() if pause else nullcontext():
                session = await self._radio.connect(address, timeout_s, pair=pair)
            connected = True
        finally:
            now_ms = self._clock.boot_ms()
            self._pausing.ended(address, attempt, now_ms, paused=pause, connected=connected)
        self.connects += 1
        return session
