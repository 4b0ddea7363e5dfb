"""What the suite needs of an IPC client: a blocking facade over any client, with two kinds of failure.

To add a client, put one module beside this one that defines `ADAPTER`, an `Adapter`. A module whose imports
are missing is left out (the run's header says so), so that the suite runs wherever some client is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

CALL_TIMEOUT_S = 15.0
EVENT_TIMEOUT_S = 10.0


class Refused(Exception):
    """The nucleus answered with a modelled error."""

    def __init__(self, shape: str, message: str | None) -> None:
        super().__init__(f"{shape}: {message}")
        self.shape = shape
        self.message = message


class Closed(Exception):
    """The connection is gone, or was never accepted."""


@dataclass(frozen=True, slots=True)
class Event:
    """What a subscription delivers.

    `payload` is bytes of a binary or cloud message, or the object of a JSON message; for a configuration
    subscription `topic` is the component's name and `payload` the changed key path, a list.
    """

    topic: str | None
    payload: Any


class Subscription(Protocol):
    """An open subscription; events keep their order."""

    def next(self, timeout_s: float = EVENT_TIMEOUT_S) -> Event:
        """The next event; raise TimeoutError where none comes."""

    def waiting(self) -> int:
        """How many events have arrived and not been taken."""

    def close(self) -> None:
        """End it."""


class Session(Protocol):
    """One connection. Every call raises Refused or Closed."""

    def publish(self, topic: str, payload: bytes) -> None:
        """PublishToTopic, binary."""

    def publish_json(self, topic: str, message: Mapping[str, Any]) -> None:
        """PublishToTopic, JSON."""

    def subscribe(self, topic: str, mode: str | None = None) -> Subscription:
        """SubscribeToTopic; `mode` is the receive mode, as the model spells it."""

    def publish_cloud(self, topic: str, payload: bytes, qos: int = 1) -> None:
        """PublishToIoTCore."""

    def subscribe_cloud(self, topic: str) -> Subscription:
        """SubscribeToIoTCore with QoS 1."""

    def get_configuration(self, path: Sequence[str], component: str | None = None) -> Any:
        """GetConfiguration; the value."""

    def update_configuration(self, path: Sequence[str], value: Mapping[str, Any], t_s: float) -> None:
        """UpdateConfiguration with a time in epoch seconds."""

    def watch_configuration(self, path: Sequence[str]) -> Subscription:
        """SubscribeToConfigurationUpdate of one's own."""

    def update_state(self, state: str) -> None:
        """UpdateState."""

    def validate_token(self, token: str) -> bool:
        """ValidateAuthorizationToken."""

    def close(self) -> None:
        """End the connection."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """A client the suite can use: its name in test ids, and how it connects (raises Closed)."""

    name: str
    connect: Callable[[str, str], Session]
