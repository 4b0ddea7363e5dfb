"""The bus of a Greengrass component: local pub/sub, IoT Core and configuration through the nucleus's IPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from headgate.bus.api import Handler, Serve
from headgate.bus.delivery import Counters, Deliveries, QueueLimits
from headgate.bus.rpc import Rpc
from headgate.bus.topics import check_pattern, check_topic
from headgate.errors import Fatal, Retry
from headgate.ipc.client import Client, CloudMessage, TopicMessage
from headgate.ipc.connection import Connection
from headgate.ipc.errors import NotFound
from headgate.ipc.limits import Profile, limits_for
from headgate.ipc.session import Session

SOCKET_VARIABLE = "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT"
TOKEN_VARIABLE = "SVCUID"
THING_VARIABLE = "AWS_IOT_THING_NAME"


@dataclass(frozen=True, slots=True)
class Environment:
    """What the nucleus tells a component it starts. `token` is a secret."""

    socket: str
    token: str
    thing: str

    @classmethod
    def read(cls, variables: Mapping[str, str]) -> Environment:
        """From environment variables. Raises Fatal when one is missing: no nucleus started this process."""
        names = (SOCKET_VARIABLE, TOKEN_VARIABLE, THING_VARIABLE)
        missing = [name for name in names if not variables.get(name)]
        if missing:
            raise Fatal(
                f"not started by a Greengrass nucleus: {', '.join(missing)} not set in the environment"
            )
        return cls(*(variables[name] for name in names))

    def __repr__(self) -> str:
        return f"Environment(socket={self.socket!r}, thing={self.thing!r})"


class GreengrassBus:
    """A Bus (see `headgate.bus.api.Bus` for what it promises) on the nucleus; use it as `async with`.

    Entering waits for the first connection. An orphan whose token is refused ends with TokenRefused (Fatal).
    `profile` overrides what the socket's name says of the message limits. Subscriptions ask for the
    component's own messages explicitly, so classic echoes them to wildcards as lite does.
    """

    def __init__(
        self, environment: Environment, *, profile: Profile | None = None, queue: QueueLimits | None = None
    ) -> None:
        limits = limits_for(environment.socket, profile)
        self.max_local_bytes = limits.local_bytes
        self.max_cloud_bytes = limits.cloud_bytes
        self.thing = environment.thing
        self._session = Session(lambda: Connection.open(environment.socket, environment.token))
        self.client = Client(self._session, limits)
        self._deliveries = Deliveries(queue or QueueLimits())
        self._rpc = Rpc(self)
        self._config_waiters: set[asyncio.Event] = set()

    async def __aenter__(self) -> Self:
        await self._deliveries.__aenter__()
        try:
            self._deliveries.spawn(self._session.run(), "ipc session")
            await self._session.connected()
        except BaseException as error:
            await self.__aexit__(type(error), error, error.__traceback__)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._rpc.close()
        self._deliveries.closed = True
        for waiter in self._config_waiters:
            waiter.set()
        await self._deliveries.__aexit__(kind, error, trace)

    async def connected(self) -> None:
        """Wait until there is a connection and every subscription so far has been answered."""
        await self._session.connected()

    async def publish(self, topic: str, payload: bytes) -> None:
        """See `Bus.publish`."""
        self._deliveries.check_open()
        check_topic(topic)
        await self.client.publish_to_topic(topic, payload)

    def subscribe(self, pattern: str, handler: Handler) -> AbstractContextManager[None]:
        """See `Bus.subscribe`."""
        return self._subscribed(pattern, handler)

    async def request(self, topic: str, payload: bytes, *, timeout_s: float) -> bytes:
        """See `Bus.request`."""
        return await self._rpc.request(topic, payload, timeout_s)

    def serve(self, topic: str, handler: Serve) -> AbstractContextManager[None]:
        """See `Bus.serve`."""
        return self._rpc.serve(topic, handler)

    async def publish_cloud(self, topic: str, payload: bytes) -> None:
        """See `Bus.publish_cloud`."""
        self._deliveries.check_open()
        check_topic(topic, cloud=True)
        await self.client.publish_to_iot_core(topic, payload)

    def subscribe_cloud(self, pattern: str, handler: Handler) -> AbstractContextManager[None]:
        """See `Bus.subscribe_cloud`."""
        return self._subscribed_cloud(pattern, handler)

    async def configs(self) -> AsyncIterator[Mapping[str, Any]]:
        """See `Bus.configs`. Events name only a place, so each leads to reading the whole configuration."""
        changed = asyncio.Event()
        self._config_waiters.add(changed)
        last: Mapping[str, Any] | None = None

        try:
            with self.client.subscribe_to_configuration_update(lambda _: changed.set(), on_live=changed.set):
                while True:
                    await changed.wait()
                    changed.clear()
                    if self._deliveries.closed:
                        return
                    value = await self._read_config()
                    if value is not None and value != last:
                        last = value
                        yield value
        finally:
            self._config_waiters.discard(changed)

    def counters(self) -> list[Counters]:
        """One entry per open subscription."""
        return self._deliveries.counters()

    async def _read_config(self) -> Mapping[str, Any] | None:
        """The configuration without `accessControl`; None when the nucleus is away: `on_live` will ask
        again.
        """
        connections = self._session.connections
        while True:
            try:
                configuration = await self.client.get_configuration()
            except NotFound:  # a component without any configuration
                return {}
            except Retry:
                await self._session.connected()
                if self._session.connections != connections:
                    return None
                await asyncio.sleep(1.0)  # a nucleus that is there but busy
            else:
                return {key: value for key, value in configuration.value.items() if key != "accessControl"}

    @contextmanager
    def _subscribed(self, pattern: str, handler: Handler) -> Iterator[None]:
        check_pattern(pattern)
        with self._deliveries.subscribed(pattern, handler) as delivery:

            def put(message: TopicMessage) -> None:
                delivery.put(message.topic, message.payload)

            with self.client.subscribe_to_topic(pattern, put):
                yield

    @contextmanager
    def _subscribed_cloud(self, pattern: str, handler: Handler) -> Iterator[None]:
        check_pattern(pattern, cloud=True)
        with self._deliveries.subscribed(pattern, handler) as delivery:

            def put(message: CloudMessage) -> None:
                delivery.put(message.topic, message.payload)

            with self.client.subscribe_to_iot_core(pattern, put):
                yield
