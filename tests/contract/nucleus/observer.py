"""The cloud's end: an MQTT client of the suite's own at the broker."""

from __future__ import annotations

import queue
import ssl
import uuid

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

TIMEOUT_S = 15.0


class Observer:
    """Subscribes and publishes past the nucleus."""

    def __init__(self, broker: str, ca: str, cert: str, key: str) -> None:
        host, _, port = broker.rpartition(":")
        self._messages: queue.Queue[tuple[str, bytes]] = queue.Queue()
        self._acknowledged: queue.Queue[int] = queue.Queue()
        context = ssl.create_default_context(cafile=ca)
        context.load_cert_chain(cert, key)
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, f"observer-{uuid.uuid4().hex[:12]}")
        self._client.tls_set_context(context)
        self._client.on_message = lambda client, data, message: self._messages.put(
            (message.topic, bytes(message.payload))
        )
        self._client.on_subscribe = lambda client, data, mid, codes, properties: self._acknowledged.put(mid)
        self._client.connect(host, int(port))
        self._client.loop_start()

    def subscribe(self, pattern: str) -> None:
        """Subscribe with QoS 1 and wait for the broker's word."""
        self._client.subscribe(pattern, 1)
        self._acknowledged.get(timeout=TIMEOUT_S)

    def publish(self, topic: str, payload: bytes, qos: int = 1) -> None:
        """Publish and wait until the broker has it."""
        self._client.publish(topic, payload, qos).wait_for_publish(TIMEOUT_S)

    def next(self) -> tuple[str, bytes]:
        """The next message; raise queue.Empty where none comes."""
        return self._messages.get(timeout=TIMEOUT_S)

    def close(self) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()
