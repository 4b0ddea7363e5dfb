"""Waiting longer after each failure in a row, with jitter, so that a fleet does not come back at once."""

from __future__ import annotations

import random
from dataclasses import dataclass, field


@dataclass(slots=True)
class Backoff:
    """Waits double from `first_ms` to `most_ms`; each is drawn from its upper half."""

    first_ms: int
    most_ms: int
    rng: random.Random
    failures: int = field(default=0)

    def next_ms(self) -> int:
        """How long to wait after one more failure."""
        whole_ms = min(self.most_ms, self.first_ms << min(self.failures, 30))
        self.failures += 1
        return round(whole_ms * (0.5 + 0.5 * self.rng.random()))

    def reset(self) -> None:
        """It went well."""
        self.failures = 0
