"""Stays connected to the nucleus: reconnects with back-off, restores subscriptions before calls go out."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from headgate.errors import HeadgateError, Retry
from headgate.ipc.connection import Connection, OnEvent
from headgate.ipc.errors import HandshakeUnanswered, TokenRefused, describe

log = logging.getLogger(__name__)

Sleep = Callable[[float], Awaitable[None]]


class Connect(Protocol):
    """Opens a connection; see `Connection.open` for what it raises."""

    async def __call__(self) -> Connection: ...


@dataclass(frozen=True, slots=True)
class Backoff:
    """Waits between attempts: random in the upper half of a bound that doubles from `first_s` to `most_s`."""

    first_s: float = 0.25
    most_s: float = 10.0

    def delay_s(self, attempt: int, draw: float) -> float:
        """The wait after failed attempt number `attempt` (from 0) for a random `draw` in [0, 1)."""
        bound_s = min(self.most_s, self.first_s * 2.0 ** min(attempt, 32))
        return bound_s * (0.5 + 0.5 * draw)


SILENT_REFUSALS = 3
"""So many times in a row a connection must be closed unanswered until it counts as a refused token: once
may be a nucleus that is stopping, but lite never says more to an orphan.
"""


@dataclass(eq=False, slots=True)
class _Subscription:
    operation: str
    target: str
    body: bytes
    on_event: OnEvent
    on_live: Callable[[], None]
    stream_id: int | None = None
    failing: bool = False


class Session:
    """Run `run` as a task of the owner; calls raise Retry while there is no connection.

    `sleep` and `draw` (random in [0, 1)) are injected for tests.
    """

    def __init__(
        self,
        connect: Connect,
        *,
        call_timeout_s: float = 10.0,
        backoff: Backoff = Backoff(),
        sleep: Sleep = asyncio.sleep,
        draw: Callable[[], float] = random.random,
    ) -> None:
        self.connections = 0
        self._connect = connect
        self._call_timeout_s = call_timeout_s
        self._backoff = backoff
        self._sleep = sleep
        self._draw = draw
        self._live: Connection | None = None
        self._away: HeadgateError = Retry("not connected to the nucleus yet")
        self._connected = asyncio.Event()
        self._subscriptions: list[_Subscription] = []
        self._unanswered = 0
        self._all_answered = asyncio.Event()
        self._all_answered.set()
        self._lost = asyncio.Event()
        self._refused: HeadgateError | None = None

    async def run(self) -> None:
        """Stay connected until cancelled.

        Raises TokenRefused, Fatal (no such connection can ever be made), or the Reject of a subscription that
        the nucleus does not allow.
        """
        failures = silent = 0
        while True:
            try:
                connection = await self._connect()
            except Retry as error:
                silent = silent + 1 if isinstance(error, HandshakeUnanswered) else 0
                if silent >= SILENT_REFUSALS:
                    raise TokenRefused(
                        f"{error}, {silent} times in a row: this process's token (SVCUID) is not known to "
                        "the nucleus that runs now"
                    ) from None
                if failures == 0:
                    log.warning("no nucleus: %s; trying again", error)
                self._away = error
                failures += 1
            else:
                failures = silent = 0
                await self._serve(connection)
            await self._sleep(self._backoff.delay_s(failures, self._draw()))

    async def connected(self) -> None:
        """Wait until there is a connection and every subscription so far was answered."""
        while True:
            await self._connected.wait()
            await self._all_answered.wait()
            if self._live is not None and not self._live.closed:
                return
            await asyncio.sleep(0)  # it has just closed; `run` is about to notice

    async def call(self, operation: str, target: str, body: bytes) -> bytes:
        """A unary call (see `Connection.call`), put on the wire after every subscription made before it."""
        if not self._all_answered.is_set():
            await self._all_answered.wait()
        if self._live is None:
            raise Retry(f"{describe(operation, target)}: no connection to the nucleus ({self._away})")
        return await self._live.call(operation, target, body, timeout_s=self._call_timeout_s)

    @contextmanager
    def subscribe(
        self,
        operation: str,
        target: str,
        body: bytes,
        on_event: OnEvent,
        on_live: Callable[[], None] = lambda: None,
    ) -> Iterator[None]:
        """Keep a subscription while entered, through reconnects; each time it is in force again, call
        `on_live`.
        """
        subscription = _Subscription(operation, target, body, on_event, on_live)
        self._subscriptions.append(subscription)
        if self._live is not None:
            self._start(subscription, self._live)
        try:
            yield
        finally:
            self._subscriptions.remove(subscription)
            if subscription.stream_id is not None and self._live is not None:
                self._live.end(subscription.stream_id)

    async def _serve(self, connection: Connection) -> None:
        self.connections += 1
        try:
            self._live = connection
            self._lost.clear()
            for subscription in self._subscriptions:
                self._start(subscription, connection)
            self._connected.set()
            log.info("connected to the nucleus, %d subscriptions restored", len(self._subscriptions))
            async with asyncio.TaskGroup() as group:
                keeper = group.create_task(self._resubscribe(connection), name="ipc resubscribe")
                reason = await connection.wait_closed()
                keeper.cancel()
        finally:
            self._live = None
            self._connected.clear()
            connection.close()
            for subscription in self._subscriptions:
                subscription.stream_id = None
        if self._refused is not None:
            raise self._refused
        self._away = reason
        log.warning("lost the nucleus: %s; connecting again", reason)

    async def _resubscribe(self, connection: Connection) -> None:
        """Try again, with back-off, what the nucleus could not do or ended."""
        failures = 0
        while True:
            await self._lost.wait()
            await self._sleep(self._backoff.delay_s(failures, self._draw()))
            self._lost.clear()
            for subscription in self._subscriptions:
                if subscription.stream_id is None:
                    self._start(subscription, connection)
            await self._all_answered.wait()
            failures = failures + 1 if self._lost.is_set() else 0

    def _start(self, subscription: _Subscription, connection: Connection) -> None:
        """Send a subscription; its end of any kind leads to another attempt or to the end of the session."""

        def answer(result: bytes | HeadgateError) -> None:
            self._unanswered -= 1
            if self._unanswered == 0:
                self._all_answered.set()
            if isinstance(result, bytes):
                if subscription.failing:
                    log.info("%s: in force", describe(subscription.operation, subscription.target))
                subscription.failing = False
                subscription.on_live()
            else:
                end(result)

        def end(error: HeadgateError | None) -> None:
            subscription.stream_id = None
            if connection.closed or subscription not in self._subscriptions:
                return
            if error is None or isinstance(error, Retry):
                if not subscription.failing:  # said once, not with each attempt
                    call = describe(subscription.operation, subscription.target)
                    log.warning("%s; trying again", error or f"{call}: ended by the nucleus")
                subscription.failing = True
                self._lost.set()
            else:
                self._refused = self._refused or error
                connection.close(error)

        self._unanswered += 1
        self._all_answered.clear()
        try:
            subscription.stream_id = connection.subscribe(
                subscription.operation,
                subscription.target,
                subscription.body,
                timeout_s=self._call_timeout_s,
                answer=answer,
                on_event=subscription.on_event,
                on_end=end,
            )
        except Retry as error:  # the connection has just closed; the next one restores it
            answer(error)
