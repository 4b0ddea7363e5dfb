"""What the operations may use of the nucleus, and how one call looks to them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from gateway_sim.nucleus import policy
from gateway_sim.nucleus.config_store import ConfigStore
from gateway_sim.nucleus.jsonvalue import Object
from gateway_sim.nucleus.profiles import Profile
from gateway_sim.nucleus.router import Router, SubscriptionCount
from gateway_sim.nucleus.tap import Tap


class Cloud(Protocol):
    """The connection to AWS IoT Core; raises ServiceError or InvalidArgumentsError."""

    def publish(self, topic: str, payload: bytes, qos: int, *, retain: bool) -> None:
        """Take a message for the broker; returning is no delivery."""

    async def subscribe(
        self, pattern: str, qos: int, deliver: Callable[[str, bytes], None]
    ) -> Callable[[], None]:
        """Subscribe, shared with whoever has the same filter; returns what ends it."""


class Components(Protocol):
    """The running components."""

    def holder(self, token: str) -> str | None:
        """Which component a token belongs to, or None."""

    def exists(self, component: str) -> bool:
        """Whether a component of that name is deployed."""

    def report(self, component: str, *, errored: bool) -> None:
        """A component says that it is running, or that it has failed."""

    def restart(self, component: str) -> None:
        """Ask for a restart."""

    def pause(self, component: str, *, paused: bool) -> None:
        """Freeze or thaw its processes."""


class Deployments(Protocol):
    """Deployments asked for over IPC."""

    def create(self, request: Object) -> str:
        """Check and queue a local deployment; returns its id."""


@dataclass(frozen=True, slots=True)
class Services:
    """Everything an operation can reach."""

    profile: Profile
    config: ConfigStore
    router: Router
    subscriptions: SubscriptionCount
    cloud: Cloud
    components: Components
    deployments: Deployments
    tap: Tap


class EventSink(Protocol):
    """The open stream of a subscription."""

    def emit(self, payload: bytes) -> None:
        """Send one event, encoded."""

    def on_close(self, end: Callable[[], None]) -> None:
        """What to do once the stream ends, for whatever reason."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request: who asks, what, and where events go."""

    component: str
    operation: str
    body: Object
    services: Services
    sink: EventSink

    def authorize(self, service: str, resource: str) -> None:
        """Raise UnauthorizedError unless the component's accessControl allows this on the resource."""
        policy.check(
            self.services.profile,
            self.component,
            self.services.config.access_control(self.component),
            service,
            f"aws.greengrass#{self.operation}",
            resource,
        )


Handler = Callable[[Call], Awaitable[Object]]


@dataclass(frozen=True, slots=True)
class Operation:
    """A provided operation.

    `event` is the model of what follows on a subscription's stream, `lite` whether lite has it, `waits`
    whether it waits for the network, so that the connection's next calls must not wait for it.
    """

    handler: Handler
    event: str | None = None
    lite: bool = True
    waits: bool = False
