"""The rule engine at work: what gateways publish, through the rule, into its queue."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from typing import Any, Final

import aiomqtt

from gateway_sim.cloud.counters import Counters
from gateway_sim.cloud.rules import BASIC_INGEST, Rule

MAX_ENTRIES: Final = 10  # SQS SendMessageBatch
MAX_BATCH_BYTES: Final = 256 * 1024  # SQS, the sum of a batch
LINGER_S: Final = 0.05  # one call for what comes together: moto needs about 4 ms for each
QUEUED: Final = 1000  # messages between broker and queue; beyond it the broker holds them


class RuleEngine:
    """Feeds one rule; `send` puts message bodies into the rule's queue. What is `metered` is counted."""

    def __init__(
        self,
        rule: Rule,
        send: Callable[[Sequence[str]], None],
        counters: Counters,
        now_ms: Callable[[], int],
        *,
        metered: bool = True,
    ) -> None:
        self._rule, self._send, self._counters, self._now_ms = rule, send, counters, now_ms
        self._metered = metered
        self._bodies: asyncio.Queue[str] = asyncio.Queue(QUEUED)

    async def subscribe(self, client: aiomqtt.Client) -> None:
        """Both ways to the rule: plain topics, and Basic Ingest topics, which AWS gives to it alone."""
        for topic_filter in (self._rule.topic_filter, f"{BASIC_INGEST}{self._rule.name}/#"):
            await client.subscribe(topic_filter, qos=1)

    async def offer(self, topic: str, payload: bytes) -> None:
        """A message that one of the rules' subscriptions brought."""
        # mosquitto tells a subscriber no sender; its acl_file let nobody but the topic's own thing publish.
        client = thing_of(topic)
        selected = self._rule.apply(topic, payload, t_ms=self._now_ms(), client=client)
        if selected is not None:
            if self._metered:
                self._counters.meter(topic, payload)
            await self._bodies.put(json.dumps(selected))

    async def forward(self) -> None:
        """Until cancelled: to the queue, in batches of what is there."""
        held: str | None = None
        while True:
            batch = [await self._bodies.get() if held is None else held]
            await asyncio.sleep(LINGER_S)
            held, size_bytes = None, len(batch[0])
            while len(batch) < MAX_ENTRIES and not self._bodies.empty():
                held = self._bodies.get_nowait()
                size_bytes += len(held)
                if size_bytes > MAX_BATCH_BYTES:
                    break
                batch.append(held)
                held = None
            await asyncio.to_thread(self._send, batch)


def thing_of(topic: str) -> str:
    """The thing of a topic of Headgate's, with or without Basic Ingest; else ""."""
    levels = topic.split("/")
    if topic.startswith(BASIC_INGEST):
        levels = levels[3:]
    return levels[2] if levels[:2] == ["hg", "v1"] and len(levels) > 2 else ""


async def receive(client: aiomqtt.Client, engines: Sequence[RuleEngine]) -> None:
    """Until cancelled: what the connection brings, to every rule. Raises aiomqtt.MqttError when it breaks."""
    async for message in client.messages:
        payload = message.payload
        assert isinstance(payload, bytes)
        for engine in engines:
            await engine.offer(str(message.topic), payload)


def sender(sqs: Any, queue_url: str) -> Callable[[Sequence[str]], None]:
    """SendMessageBatch with boto3's client (which is untyped); raises where the queue did not take all."""

    def send(bodies: Sequence[str]) -> None:
        entries = [{"Id": str(i), "MessageBody": body} for i, body in enumerate(bodies)]
        answer = sqs.send_message_batch(QueueUrl=queue_url, Entries=entries)
        if answer.get("Failed"):
            raise RuntimeError(f"the queue refused messages: {answer['Failed']}")

    return send
