"""Local publish/subscribe between components: who hears what."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

from gateway_sim.nucleus.errors import InvalidArgumentsError, ServiceError
from gateway_sim.nucleus.profiles import Profile
from gateway_sim.nucleus.topics import is_wildcard, matches

RECEIVE_ALL = "RECEIVE_ALL_MESSAGES"
RECEIVE_OTHERS = "RECEIVE_MESSAGES_FROM_OTHERS"


@dataclass(frozen=True, slots=True)
class Subscription:
    """One component's interest in a filter; `deliver` takes an encoded event."""

    component: str
    pattern: str
    own_messages: bool
    deliver: Callable[[bytes], None]


class SubscriptionCount:
    """How many subscriptions of any kind are open; lite has about 100."""

    def __init__(self, limit: int | None) -> None:
        self._limit = limit
        self._count = 0

    def take(self) -> None:
        """Count one more, or raise ServiceError."""
        if self._limit is not None and self._count >= self._limit:
            raise ServiceError(f"no more than {self._limit} subscriptions")
        self._count += 1

    def give_back(self) -> None:
        """Count one fewer."""
        self._count -= 1


class Router:
    """Local topics; exact filters are looked up, wildcard ones are tried in turn."""

    def __init__(self, profile: Profile) -> None:
        self._profile = profile
        self._ids = itertools.count()
        self._exact: dict[str, dict[int, Subscription]] = {}
        self._wild: dict[int, Subscription] = {}

    def subscribe(
        self, component: str, pattern: str, mode: str | None, deliver: Callable[[bytes], None]
    ) -> Callable[[], None]:
        """Register, and return what ends it. Own messages: lite always echoes, classic follows the mode."""
        if mode not in (None, RECEIVE_ALL, RECEIVE_OTHERS):
            raise InvalidArgumentsError(f"receiveMode must be {RECEIVE_ALL} or {RECEIVE_OTHERS}")
        own = self._profile.lite or (mode == RECEIVE_ALL if mode else not is_wildcard(pattern))
        number = next(self._ids)
        subscription = Subscription(component, pattern, own, deliver)
        if is_wildcard(pattern):
            self._wild[number] = subscription
            return lambda: self._drop_wild(number)
        self._exact.setdefault(pattern, {})[number] = subscription
        return lambda: self._drop_exact(pattern, number)

    def _drop_wild(self, number: int) -> None:
        self._wild.pop(number, None)

    def _drop_exact(self, pattern: str, number: int) -> None:
        listeners = self._exact.get(pattern, {})
        listeners.pop(number, None)
        if not listeners:
            self._exact.pop(pattern, None)

    def publish(self, component: str, topic: str, payload: bytes) -> int:
        """Deliver to every subscription that matches; return how many."""
        listeners = list(self._exact.get(topic, {}).values())
        listeners += [wild for wild in self._wild.values() if matches(wild.pattern, topic)]
        reached = [one for one in listeners if one.own_messages or one.component != component]
        for listener in reached:
            listener.deliver(payload)
        return len(reached)
