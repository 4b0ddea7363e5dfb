"""The bus: what roles may ask of whatever carries their messages, in one process or through Greengrass."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from typing import Any, Protocol

Handler = Callable[[str, bytes], Awaitable[None]]
"""Takes (topic, payload) of one message. Called in arrival order, one message at a time per subscription."""

Serve = Callable[[bytes], Awaitable[bytes]]
"""Takes a request's payload, returns the reply's. Raising Retry or Reject raises the same at the caller."""


class Bus(Protocol):
    """Local messages between this gateway's processes, the cloud's topics, and this component's
    configuration.

    Guarantees of every implementation (`tests/contract/bus` holds them):

    - What one task publishes to one topic arrives in that order at each subscription.
    - A handler gets one message at a time; messages wait in a bounded queue per subscription. A full queue
      drops by its policy (oldest first unless the bus was made otherwise) and counts what it dropped; it
      never blocks other subscriptions.
    - A message published after `subscribe` was entered reaches that subscription, also the bus's own
      messages: a publisher that subscribes to its own topic sees its own messages, with and without
      wildcards.
    - Subscriptions outlive a lost connection: they are restored in their order before anything else is
      published. What was published meanwhile is gone; the protocols above acknowledge and re-send.
    - A handler may publish, request and subscribe. One that raises Retry or Reject loses that message only
      (logged and counted); any other exception ends the bus, and with it the role.
    - A subscription that the nucleus refuses for good ends the bus with the Reject that names operation and
      topic.

    Delivery is at most once. Topics are MQTT topics of at most 256 B of UTF-8; patterns may hold `+` and a
    last `#`. Every method raises Retry while the bus is away or closed, and Reject for what no repetition
    will get through.
    """

    @property
    def max_local_bytes(self) -> int:
        """Largest payload of `publish`; `request` and its reply take `rpc.overhead_bytes` less."""

    @property
    def max_cloud_bytes(self) -> int:
        """Largest payload of `publish_cloud`. What the cloud may send down can be less (about 5,000 B on
        lite).
        """

    async def publish(self, topic: str, payload: bytes) -> None:
        """Send to this gateway's subscribers of `topic`; returns once the nucleus took it, not once they did.

        Raises Retry (away, closed, no answer in time) or Reject (not a topic, too large, not authorised).
        """

    def subscribe(self, pattern: str, handler: Handler) -> AbstractContextManager[None]:
        """Hand every local message whose topic matches to `handler` while the context is entered.

        Leaving drops what waits in the queue; a handler call under way is left to finish.
        Entering raises Reject (not a pattern) or Retry (closed).
        """

    async def request(self, topic: str, payload: bytes, *, timeout_s: float) -> bytes:
        """Ask whoever serves `topic` and return the reply's payload.

        Raises Retry (nobody answered within `timeout_s` seconds, too many requests pending, the server said
        retry) or Reject (too large, not authorised, the server said reject; the message is the server's).
        The server may have acted although Retry was raised: requests must bear repetition.
        """

    def serve(self, topic: str, handler: Serve) -> AbstractContextManager[None]:
        """Answer requests to `topic` (no wildcards) while the context is entered, one at a time in arrival
        order.
        """

    async def publish_cloud(self, topic: str, payload: bytes) -> None:
        """Hand a message for AWS IoT Core to the nucleus, QoS 1. Success is NOT delivery.

        A classic nucleus has it in its spooler then (and may drop it), lite in its MQTT client. Raises Retry
        (away, closed, on lite also: no connection to the cloud) or Reject (too large, not a topic, not
        authorised).
        """

    def subscribe_cloud(self, pattern: str, handler: Handler) -> AbstractContextManager[None]:
        """Like `subscribe`, for topics of AWS IoT Core. While the cloud is away the bus keeps trying to
        subscribe.
        """

    def configs(self) -> AsyncIterator[Mapping[str, Any]]:
        """This component's configuration: the current one first, then each that differs from the one before.

        Changes that follow each other closely may be seen as one. `accessControl`, which is the nucleus's
        own key, is left out. Numbers and booleans may arrive as strings (lite) and integers as floats
        (classic): parse leniently. Waits while the bus is away; ends when the bus closes.
        """
