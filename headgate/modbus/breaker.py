"""When to leave a silent device alone, and when to try it again; pure."""

from __future__ import annotations

from dataclasses import dataclass

FAILURES_TO_OPEN = 3
FIRST_MS = 1_000
MAX_MS = 30_000


@dataclass(slots=True)
class Breaker:
    """Opens after some failures in a row; each further one doubles the wait, up to `max_ms`."""

    failures_to_open: int = FAILURES_TO_OPEN
    first_ms: int = FIRST_MS
    max_ms: int = MAX_MS
    failures: int = 0
    retry_at_ms: int = 0

    @property
    def open(self) -> bool:
        """Whether the last tries failed so often that the next is only a probe."""
        return self.failures >= self.failures_to_open

    def allows(self, now_ms: int) -> bool:
        """Whether a try may be made now."""
        return not self.open or now_ms >= self.retry_at_ms

    def succeeded(self) -> None:
        """Close it."""
        self.failures = 0

    def failed(self, now_ms: int) -> None:
        """Count a failure that ended at `now_ms`."""
        self.failures += 1
        if self.open:
            doublings = min(self.failures - self.failures_to_open, 20)
            self.retry_at_ms = now_ms + min(self.first_ms << doublings, self.max_ms)
