"""The jobs data plane at work: one MQTT connection between the broker and the state machine, and a timer.

On AWS only the client that asked sees a reply to get, start-next and update, whether or not it subscribed.
mosquitto gives it to every subscriber of the topic, which the thing rights narrow to the thing's own clients.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Final

import aiomqtt
from paho.mqtt.subscribeoptions import SubscribeOptions

from gateway_sim.cloud import broker, certificates
from gateway_sim.cloud.certificates import Certificates
from gateway_sim.cloud.jobs_protocol import Protocol, Reply

FILTER: Final = "$aws/things/+/jobs/#"
IDENTIFIER: Final = "headgate-cloud-jobs"


class JobsPlane:
    """Serves a `Protocol`; `changed` is called by whoever else changed its jobs (the control plane)."""

    def __init__(self, protocol: Protocol, client: aiomqtt.Client) -> None:
        self.protocol, self._client = protocol, client
        self._changed = asyncio.Event()
        self._turn = asyncio.Lock()  # first come, first served: what is told later is published later

    async def subscribe(self) -> None:
        """Without this connection's own messages, or each reply would come back as a request."""
        await self._client.subscribe(FILTER, options=SubscribeOptions(qos=1, noLocal=True))

    async def receive(self) -> None:
        """Until cancelled; raises aiomqtt.MqttError when the connection breaks."""
        async for message in self._client.messages:
            assert isinstance(message.payload, bytes)
            replies = self.protocol.answer(str(message.topic), message.payload)
            await self._publish(replies)
            if replies:
                self._changed.set()  # a timer may have been set or taken away

    async def changed(self) -> None:
        """Tell things what a change that did not come from here means for them."""
        await self._publish(self.protocol.notices())
        self._changed.set()

    async def keep_time(self) -> None:
        """Until cancelled: executions whose time is over."""
        jobs = self.protocol.jobs
        while True:
            due = jobs.next_deadline()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if due is None else max(0.0, due - jobs.now())):
                    await self._changed.wait()
            self._changed.clear()
            jobs.expire()
            await self._publish(self.protocol.notices())

    async def _publish(self, replies: list[Reply]) -> None:
        async with self._turn:
            for reply in replies:
                await self._client.publish(reply.topic, reply.payload(), qos=1)


@contextlib.asynccontextmanager
async def connected(protocol: Protocol, mqtt: broker.Broker, certs: Certificates) -> AsyncIterator[JobsPlane]:
    """A connection of its own, subscribed; MQTT 5, for no-local."""
    client = aiomqtt.Client(
        mqtt.host,
        mqtt.port,
        identifier=IDENTIFIER,
        protocol=aiomqtt.ProtocolVersion.V5,
        tls_context=certificates.client_context(certs.ca, certs.cloud),
    )
    async with client:
        plane = JobsPlane(protocol, client)
        await plane.subscribe()
        yield plane
