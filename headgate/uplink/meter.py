"""A link that is paid by the byte: a cap per day, and hours in which bulk may go. Pure; days are UTC's.

Counts the bytes of the uplink's own traffic on the link, overhead included, to hold lanes back; it knows no
prices. What AWS meters is booked apart, over the bus (`headgate/uplink/ledger.py`): for reports, the budget.
"""

from __future__ import annotations

from dataclasses import dataclass

from headgate.clock import UTC_PLAUSIBLE_MS
from headgate.uplink.lanes import BULK, Lane

DAY_MS = 86_400_000
MINUTE_MS = 60_000
DEFAULT_BULK_SHARE = 0.5
RECHECK_MS = 600_000
"""UTC may be set meanwhile, so nothing is waited for longer than this without another look."""


@dataclass(frozen=True, slots=True)
class Metered:
    """What the link may carry. `windows`: from and to, in minutes of the UTC day (to <= from: over midnight).

    `bytes_per_day` counts payload, topic and overhead of envelopes and acknowledgements; None: no cap. Bulk
    may use `bulk_share` of it, so that the rest of the day has something left. `always`: lanes that are
    counted and never held back.
    """

    bytes_per_day: int | None = None
    windows: tuple[tuple[int, int], ...] = ()
    always: frozenset[Lane] = frozenset({Lane.ALARMS})
    bulk_share: float = DEFAULT_BULK_SHARE


class Meter:
    """Counts, and says how long a lane must wait. `day` is counted since 1970."""

    def __init__(self, metered: Metered | None = None, *, day: int = 0, used_bytes: int = 0) -> None:
        self.metered = metered
        self.day = day
        self.used_bytes = used_bytes

    def count(self, size_bytes: int, utc_ms: int) -> None:
        """So many bytes went over the link, up or down."""
        self._roll(utc_ms)
        self.used_bytes += size_bytes

    def wait_ms(self, lane: Lane, utc_ms: int) -> int:
        """How long that lane is held back (at most RECHECK_MS); 0: it may go."""
        return min(RECHECK_MS, max(self._cap_wait_ms(lane, utc_ms), self._window_wait_ms(lane, utc_ms)))

    def held(self, lane: Lane, utc_ms: int) -> str:
        """Why that lane is held back, in words; empty where it is not."""
        if self._cap_wait_ms(lane, utc_ms) and self.metered is not None:
            share = ", of which bulk may use " + f"{self.metered.bulk_share:.0%}" if lane in BULK else ""
            return f"{self.used_bytes} B of {self.metered.bytes_per_day} B a day are used{share}"
        if wait_ms := self._window_wait_ms(lane, utc_ms):
            return f"outside its hours for another {-(-wait_ms // MINUTE_MS)} min"
        return ""

    def _roll(self, utc_ms: int) -> None:
        """A day that is over ends its count; UTC that was set back does not."""
        day = utc_ms // DAY_MS
        if utc_ms >= UTC_PLAUSIBLE_MS and day != self.day:
            self.used_bytes = 0 if day > self.day else self.used_bytes
            self.day = day

    def _cap_wait_ms(self, lane: Lane, utc_ms: int) -> int:
        metered = self.metered
        if metered is None or metered.bytes_per_day is None or lane in metered.always:
            return 0
        self._roll(utc_ms)
        share = metered.bulk_share if lane in BULK else 1.0
        return DAY_MS - utc_ms % DAY_MS if self.used_bytes >= metered.bytes_per_day * share else 0

    def _window_wait_ms(self, lane: Lane, utc_ms: int) -> int:
        metered = self.metered
        if metered is None or not metered.windows or lane not in BULK or lane in metered.always:
            return 0
        if utc_ms < UTC_PLAUSIBLE_MS:  # what hour it is, nobody knows
            return RECHECK_MS
        of_day_ms = utc_ms % DAY_MS
        waits = []
        for first, end in metered.windows:
            since_ms = (of_day_ms - first * MINUTE_MS) % DAY_MS
            length_ms = (end - first) * MINUTE_MS % DAY_MS or DAY_MS
            if since_ms < length_ms:
                return 0
            waits.append(DAY_MS - since_ms)
        return min(waits)
