"""One MQTT 5 connection: by certificate to the simulated cloud, by SigV4 over a websocket to AWS.

The client's own limit of AWS's 100 messages a second stays on. Its callbacks run in a thread of its own; here
they end in a queue and in futures, which is all that crosses.
"""

from __future__ import annotations

import queue
import secrets
import time
from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

from awscrt import auth, mqtt5
from awscrt.exceptions import AwsCrtError
from awsiot import mqtt5_client_builder

from headgate_cloud.cli.errors import UNREACHABLE, Complaint

CONNECT_TIMEOUT_S: Final = 10.0
STOP_TIMEOUT_S: Final = 2.0
MAX_SUBSCRIBE: Final = 8  # AWS IoT Core quota, subscriptions in one SUBSCRIBE
MAX_SUBSCRIPTIONS: Final = 50  # AWS IoT Core quota, per connection
REFUSED: Final = 128  # MQTT 5, reason codes from here on are failures


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message, and when it came by time.monotonic()."""

    topic: str
    payload: bytes
    at_s: float


class Link:
    """Use it as a context: it connects on the way in and stops on the way out."""

    def __init__(self, build: Any, where: str) -> None:
        """`build` makes an awscrt client from keyword arguments (awscrt is untyped)."""
        self._arrived: queue.SimpleQueue[Arrived] = queue.SimpleQueue()
        self._up: Future[None] = Future()
        self._down: Future[None] = Future()
        self._where = where
        # Kept for as long as anything may arrive: a client that is dropped takes its callbacks along.
        self._client: mqtt5.Client = build(
            client_id=f"headgate-cli-{secrets.token_hex(6)}",
            on_publish_received=self._receive,
            on_lifecycle_connection_success=lambda _: self._settle(self._up, None),
            on_lifecycle_connection_failure=self._fail,
            on_lifecycle_stopped=lambda _: self._settle(self._down, None),
        )

    @classmethod
    def with_certificate(cls, *, host: str, port: int, ca: str, cert: str, key: str) -> Link:
        def build(**more: Any) -> Any:
            return mqtt5_client_builder.mtls_from_path(
                cert, key, endpoint=host, port=port, ca_filepath=ca, **more
            )

        return cls(build, f"{host}:{port}")

    @classmethod
    def signed(cls, *, host: str, region: str, credentials: Any) -> Link:
        """`credentials` are botocore's, asked again for each connection, so they may be renewed."""

        def current() -> Any:
            frozen = credentials.get_frozen_credentials()
            return auth.AwsCredentials(frozen.access_key, frozen.secret_key, frozen.token)

        provider = auth.AwsCredentialsProvider.new_delegate(current)

        def build(**more: Any) -> Any:
            return mqtt5_client_builder.websockets_with_default_aws_signing(
                region=region, credentials_provider=provider, endpoint=host, **more
            )

        return cls(build, host)

    def __enter__(self) -> Link:
        self._client.start()
        try:
            self._up.result(CONNECT_TIMEOUT_S)
        except (FutureTimeoutError, AwsCrtError) as error:
            self._stop()
            why = "no answer" if isinstance(error, FutureTimeoutError) else str(error)
            raise Complaint(f"no MQTT connection to {self._where}: {why}", UNREACHABLE) from None
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop()

    def subscribe(self, filters: Sequence[str]) -> None:
        """QoS 1; raises Complaint where the broker does not allow it."""
        for start in range(0, len(filters), MAX_SUBSCRIBE):
            some = filters[start : start + MAX_SUBSCRIBE]
            packet = mqtt5.SubscribePacket(
                [mqtt5.Subscription(topic, mqtt5.QoS.AT_LEAST_ONCE) for topic in some]
            )
            suback = self._wait(self._client.subscribe(packet), "subscribe")
            if any(code >= REFUSED for code in suback.reason_codes):
                raise Complaint(f"{self._where} does not allow subscribing to {', '.join(some)}", UNREACHABLE)

    def publish(self, topic: str, payload: bytes) -> None:
        """QoS 1; returns when the broker has it. Raises Complaint where it does not take it."""
        packet = mqtt5.PublishPacket(topic=topic, payload=payload, qos=mqtt5.QoS.AT_LEAST_ONCE)
        puback = self._wait(self._client.publish(packet), "publish").puback
        if puback is not None and puback.reason_code >= REFUSED:
            raise Complaint(f"{self._where} does not allow publishing to {topic}", UNREACHABLE)

    def receive(self, timeout_s: float) -> Arrived | None:
        """The next message, or None when none came in time."""
        try:
            return self._arrived.get(timeout=max(0.0, timeout_s))
        except queue.Empty:
            return None

    def _wait(self, future: Future[Any], what: str) -> Any:
        try:
            return future.result(CONNECT_TIMEOUT_S)
        except (FutureTimeoutError, AwsCrtError) as error:
            why = "no answer" if isinstance(error, FutureTimeoutError) else str(error)
            raise Complaint(f"{self._where}: {what}: {why}", UNREACHABLE) from None

    def _receive(self, data: mqtt5.PublishReceivedData) -> None:
        packet = data.publish_packet
        self._arrived.put(Arrived(str(packet.topic), bytes(packet.payload or b""), time.monotonic()))

    def _fail(self, data: mqtt5.LifecycleConnectFailureData) -> None:
        """Only the first attempt is given up on; later ones are the client's own business."""
        self._settle(self._up, data.exception)

    def _stop(self) -> None:
        self._client.stop()
        try:
            self._down.result(STOP_TIMEOUT_S)
        except FutureTimeoutError:
            return  # the process ends anyway

    @staticmethod
    def _settle(future: Future[None], error: BaseException | None) -> None:
        if future.done():  # a reconnection
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)
