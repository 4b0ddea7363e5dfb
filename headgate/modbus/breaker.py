"""When to leave a silent device alone, and when to try it again; pure."""

from __future__ import annotations

from dataclasses import dataclass

FAILURES_TO_OPEN = 2
"""Lost requests in a row, repetitions among them: a poll that was repeated in vain is enough."""
FIRST_MS = 1_000
MAX_MS = 30_000
COST_FIRST = 20
"""A probe is made after at least so many times what the last one cost: others keep 95 % of the line."""
COST_MAX = 200
"""So far back-offs grow with the cost of a probe: a device that is off takes 0.5 % of the line."""


@dataclass(slots=True)
class Breaker:
    """Opens after some failures in a row; each failed probe doubles the wait.

    The first probe follows soon, for what was only a disturbance. From then on waits are at least COST_FIRST
    times as long as a probe held the line up, and go up to `max_ms` or COST_MAX times that, what is more.
    """

    failures_to_open: int = FAILURES_TO_OPEN
    first_ms: int = FIRST_MS
    max_ms: int = MAX_MS
    failures: int = 0
    retry_at_ms: int = 0
    probes: int = 0

    @property
    def open(self) -> bool:
        """Whether the last tries failed so often that the next is only a probe."""
        return self.failures >= self.failures_to_open

    def allows(self, now_ms: int) -> bool:
        """Whether a try may be made now."""
        return not self.open or now_ms >= self.retry_at_ms

    def succeeded(self) -> None:
        """Close it."""
        self.failures = self.probes = 0

    def failed(self, now_ms: int, *, cost_ms: int = 0, tries: int = 1) -> None:
        """Count `tries` failures, the last of which held the line up for `cost_ms` and ended at `now_ms`."""
        was_open = self.open
        self.failures += tries
        if self.open:
            self.probes += was_open
            self.retry_at_ms = now_ms + self._wait_ms(cost_ms)

    def _wait_ms(self, cost_ms: int) -> int:
        doublings = min(self.probes, 20)
        if not doublings:
            return max(self.first_ms, cost_ms)
        wait_ms = max(self.first_ms << doublings, COST_FIRST * cost_ms << doublings - 1)
        return min(wait_ms, max(self.max_ms, COST_MAX * cost_ms))
