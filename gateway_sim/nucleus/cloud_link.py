"""The gateway's MQTT connection to AWS IoT Core over mutual TLS, as each nucleus keeps it."""

from __future__ import annotations

import asyncio
import itertools
import logging
import math
import ssl
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from pathlib import Path

import aiomqtt

from gateway_sim.nucleus.errors import ServiceError
from gateway_sim.nucleus.profiles import Profile
from gateway_sim.nucleus.spooler import Publication, Spooler
from gateway_sim.nucleus.topics import matches

log = logging.getLogger("nucleus.mqtt")
MAX_IN_FLIGHT = 5  # classic's mqtt.maxInFlightPublishes
MAX_QUEUED_DOWNLINK = 1000
CONNECT_TIMEOUT_S = 10.0
Deliver = Callable[[str, bytes], None]


@dataclass(frozen=True, slots=True)
class BrokerOptions:
    """Where the broker is and as whom to connect; the thing's name is the client id."""

    thing: str
    host: str
    port: int
    ca: Path
    cert: Path
    key: Path
    keepalive_s: int = 30
    reconnect_cap_s: float = 10.0

    def tls(self) -> ssl.SSLContext:
        """A fresh context, so that a rotated certificate is used from the next connection on."""
        context = ssl.create_default_context(cafile=str(self.ca))
        context.load_cert_chain(self.cert, self.key)
        return context


@dataclass(slots=True)
class _Shared:
    """One filter subscribed at the broker for any number of listeners."""

    qos: int
    granted: bool = False
    listeners: dict[int, Deliver] = field(default_factory=dict)


class CloudLink:
    """Connects, keeps connected, publishes and subscribes; restores subscriptions after a reconnect."""

    def __init__(self, options: BrokerOptions, profile: Profile) -> None:
        self._options = options
        self._profile = profile
        self._ids = itertools.count()
        self._filters: dict[str, _Shared] = {}
        self._client: aiomqtt.Client | None = None
        self._tasks: asyncio.TaskGroup | None = None
        self._in_flight = 0
        self._in_flight_bytes = 0
        self._spooler = Spooler()
        self.connects = 0
        self.downlink_dropped = 0
        self.on_change: Callable[[], None] = lambda: None

    @property
    def connected(self) -> bool:
        """Whether the broker is believed to be there."""
        return self._client is not None

    def state(self) -> dict[str, int | bool]:
        """Figures for status.json."""
        return {
            "connected": self.connected,
            "connects": self.connects,
            "spooled": len(self._spooler),
            "spooler_dropped": self._spooler.dropped,
            "downlink_dropped": self.downlink_dropped,
        }

    async def run(self) -> None:
        """Keep a connection until cancelled, with 1 s doubling to the cap between attempts."""
        delay_s = 1.0
        while True:
            before = self.connects
            try:
                await self._one_connection()
            except* (aiomqtt.MqttError, OSError) as group:
                log.warning("broker %s:%d: %s", self._options.host, self._options.port, group.exceptions[0])
            delay_s = 1.0 if self.connects > before else min(delay_s * 2, self._options.reconnect_cap_s)
            await asyncio.sleep(min(delay_s, self._options.reconnect_cap_s))

    async def _one_connection(self) -> None:
        options = self._options
        client = aiomqtt.Client(
            options.host,
            options.port,
            identifier=options.thing,
            tls_context=options.tls(),
            keepalive=options.keepalive_s,
            clean_session=self._profile.lite,
            timeout=CONNECT_TIMEOUT_S,
            max_queued_incoming_messages=MAX_QUEUED_DOWNLINK,
        )
        async with client:
            try:
                async with asyncio.TaskGroup() as tasks:
                    self._client, self._tasks = client, tasks
                    self.connects += 1
                    log.info("connected to %s:%d as %s", options.host, options.port, options.thing)
                    self.on_change()
                    self._spawn(tasks, self._receive(client), "mqtt receive")
                    await self._restore(client)
                    if self._profile.in_flight is None:
                        self._spawn(tasks, self._send_spooled(client, tasks), "mqtt send")
            finally:
                self._client = self._tasks = None
                self._spooler.put_back()
                for shared in self._filters.values():
                    shared.granted = False
                log.info("disconnected from %s:%d", options.host, options.port)
                self.on_change()

    def _spawn(
        self, tasks: asyncio.TaskGroup, work: Coroutine[None, None, None], name: str
    ) -> asyncio.Task[None]:
        return tasks.create_task(self._until_lost(work), name=name)

    async def _until_lost(self, work: Coroutine[None, None, None]) -> None:
        """The first task to fail ends the connection for all: nobody may add another to the dying group."""
        try:
            await work
        except BaseException:
            self._client = self._tasks = None
            raise
        finally:
            work.close()

    async def _receive(self, client: aiomqtt.Client) -> None:
        async for message in client.messages:
            self._dispatch(str(message.topic), bytes(message.payload), message.qos)

    def _dispatch(self, topic: str, payload: bytes, qos: int) -> None:
        limit = self._profile.max_downlink_bytes
        if limit is not None and packet_bytes(topic, payload, qos) > limit:
            self.downlink_dropped += 1
            log.warning("message of %d B on %s never arrives: over %d B", len(payload), topic, limit)
            return
        for pattern, shared in list(self._filters.items()):
            if matches(pattern, topic):
                for deliver in list(shared.listeners.values()):
                    deliver(topic, payload)

    async def _restore(self, client: aiomqtt.Client) -> None:
        wanted = [(pattern, shared.qos) for pattern, shared in self._filters.items() if not shared.granted]
        for pattern, qos in wanted:
            if not await _granted(client, pattern, qos):
                log.error("the broker refuses the subscription to %s", pattern)
            elif pattern in self._filters:
                self._filters[pattern].granted = True

    async def _send_spooled(self, client: aiomqtt.Client, tasks: asyncio.TaskGroup) -> None:
        slots = asyncio.Semaphore(MAX_IN_FLIGHT)
        while True:
            await slots.acquire()
            publication = await self._spooler.take()
            task = self._spawn(tasks, self._send_taken(client, publication), "mqtt publish")
            task.add_done_callback(lambda _: slots.release())

    async def _send_taken(self, client: aiomqtt.Client, publication: Publication) -> None:
        await _send(client, publication)
        self._spooler.done(publication)

    def publish(self, topic: str, payload: bytes, qos: int, *, retain: bool) -> None:
        """Classic: into the spooler. Lite: to the connection if there is one and it is not too far behind."""
        publication = Publication(topic, payload, qos, retain)
        if self._profile.in_flight is None:
            if qos == 0 and not self.connected:
                raise ServiceError("Device is offline. Dropping QoS 0 message.")
            self._spooler.put(publication)
            return
        limits = self._profile.in_flight
        if self._client is None or self._tasks is None:
            raise ServiceError("Failed to publish: no connection to AWS IoT Core")
        if qos == 1 and (
            self._in_flight >= limits.messages
            or self._in_flight_bytes + publication.size_bytes > limits.size_bytes
        ):
            raise ServiceError(f"Failed to publish: {self._in_flight} messages wait for their PUBACK")
        self._count(publication, 1)
        task = self._spawn(self._tasks, _send(self._client, publication), "mqtt publish")
        task.add_done_callback(lambda _: self._count(publication, -1))

    def _count(self, publication: Publication, sign: int) -> None:
        if publication.qos == 1:
            self._in_flight += sign
            self._in_flight_bytes += sign * publication.size_bytes

    async def subscribe(self, pattern: str, qos: int, deliver: Deliver) -> Callable[[], None]:
        """Subscribe, shared with whoever has the same filter. Offline: classic does it later, lite fails."""
        if self._profile.lite and not self.connected:
            raise ServiceError("Failed to subscribe: no connection to AWS IoT Core")
        number = next(self._ids)
        shared = self._filters.setdefault(pattern, _Shared(qos))
        shared.listeners[number] = deliver
        ask = not shared.granted or qos > shared.qos
        shared.qos = max(shared.qos, qos)
        try:
            if ask and self._client is not None:
                shared.granted = await self._ask(self._client, pattern, shared.qos)
        except BaseException:
            self._leave(pattern, number)
            raise
        return lambda: self._leave(pattern, number)

    async def _ask(self, client: aiomqtt.Client, pattern: str, qos: int) -> bool:
        try:
            if not await _granted(client, pattern, qos):
                raise ServiceError(f"Failed to subscribe: AWS IoT Core refuses {pattern}")
        except aiomqtt.MqttError as error:
            if self._profile.lite:
                raise ServiceError(f"Failed to subscribe: {error}") from error
            return False
        return True

    def _leave(self, pattern: str, number: int) -> None:
        shared = self._filters.get(pattern)
        if shared is None or shared.listeners.pop(number, None) is None or shared.listeners:
            return
        del self._filters[pattern]
        if self._client is not None and self._tasks is not None and shared.granted:
            self._spawn(self._tasks, self._unsubscribe(self._client, pattern), "mqtt unsubscribe")

    async def _unsubscribe(self, client: aiomqtt.Client, pattern: str) -> None:
        await client.unsubscribe(pattern)
        if pattern in self._filters:  # someone came back while the broker was told
            self._filters[pattern].granted = await _granted(client, pattern, self._filters[pattern].qos)


async def _send(client: aiomqtt.Client, publication: Publication) -> None:
    await client.publish(
        publication.topic, publication.payload, publication.qos, publication.retain, timeout=math.inf
    )


async def _granted(client: aiomqtt.Client, pattern: str, qos: int) -> bool:
    codes = await client.subscribe(pattern, qos)
    return all(not code.is_failure if not isinstance(code, int) else code < 128 for code in codes)


def packet_bytes(topic: str, payload: bytes, qos: int) -> int:
    """Size of the MQTT 3.1.1 PUBLISH packet."""
    remaining = 2 + len(topic.encode()) + (2 if qos else 0) + len(payload)
    length_bytes = 1 if remaining < 128 else 2 if remaining < 16_384 else 3 if remaining < 2_097_152 else 4
    return 1 + length_bytes + remaining
