"""How fast the uplink may be: token buckets, and the limits of AWS that they keep."""

from __future__ import annotations

from dataclasses import dataclass

AWS_PUBLISHES_PER_S = 100
"""In and out together per connection, the excess is discarded (AWS IoT Core message broker quotas)."""
AWS_BYTES_PER_S = 512 * 1024
"""Per connection (same quotas)."""
SPOOLER_BYTES = 1_000_000
"""What we dare to leave in a nucleus: classic's spooler holds 2.5 MB by default and drops the oldest."""


@dataclass(frozen=True, slots=True)
class UplinkTuning:
    """Half of what AWS allows leaves room for acknowledgements, requests and the nucleus itself."""

    publishes_per_s: float = AWS_PUBLISHES_PER_S / 2
    bytes_per_s: float = AWS_BYTES_PER_S / 2
    max_in_flight: int = 4
    max_unacknowledged_bytes: int = SPOOLER_BYTES * 6 // 10
    backlog_part: float = 0.75
    """Of the unacknowledged bytes, what all but live and alarms may take: live data finds room."""
    alarms_part: float = 1.5
    """And what alarms may take: they go also when all of it waits for the cloud's word."""
    live_age_ms: int = 30_000
    live_bytes: int = 1_000_000
    """Live envelopes kept in memory; more are read from the outbox in their turn."""
    resend_after_ms: int = 10_000
    resend_max_ms: int = 120_000
    retry_first_ms: int = 50
    """Short: lite also says no while 15,000 B wait for a PUBACK, and takes more one round trip later."""
    retry_max_ms: int = 10_000
    offline_after_ms: int = 1_000
    """A wait this long between attempts is no longer a full pipe: it is logged."""
    read_rows: int = 64


class Bucket:
    """Tokens that come back at `rate_per_s`, at most `burst` of them."""

    def __init__(self, rate_per_s: float, burst: float) -> None:
        self._rate_per_ms = rate_per_s / 1000
        self._burst = burst
        self._tokens = burst
        self._at_ms: int | None = None

    @classmethod
    def half_a_second(cls, rate_per_s: float) -> Bucket:
        """A bucket that holds what comes back in half a second, so that no second sees more than 1.5 times
        the rate.
        """
        return cls(rate_per_s, rate_per_s / 2)

    def wait_ms(self, tokens: float, now_ms: int) -> int:
        """How long until so many tokens are there; 0 when they are. More than the burst count as it."""
        self._refill(now_ms)
        missing = min(tokens, self._burst) - self._tokens
        return 0 if missing <= 0 else int(missing / self._rate_per_ms) + 1

    def take(self, tokens: float, now_ms: int) -> None:
        """Take tokens; the account may go below zero and is paid back by waiting."""
        self._refill(now_ms)
        self._tokens -= tokens

    def _refill(self, now_ms: int) -> None:
        if self._at_ms is not None:
            self._tokens = min(self._burst, self._tokens + (now_ms - self._at_ms) * self._rate_per_ms)
        self._at_ms = now_ms
