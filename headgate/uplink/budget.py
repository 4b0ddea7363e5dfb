"""Keeps a gateway's use below a budget: what to thin out, decided from the day's use so far. Pure.

Once half of the day's share is used, the rate since the last step is drawn out to midnight (UTC). Where that
ends above the share, the next step is taken; the day's turn takes all of them back. Alarms, reports, health
and what is asked for are never thinned, so that a gateway is never silent.
"""

from __future__ import annotations

import calendar
from dataclasses import dataclass
from datetime import UTC, datetime

from headgate.config.reader import Section
from headgate.uplink.ledger import DAY_MS, Ledger
from headgate.uplink.prices import Prices

STEPS = (1, 1, 2, 4, 6, 12, 30, 60)
"""By what window lengths are multiplied at each step; from step 1 on raw samples stay on the gateway."""
LAST_STEP = len(STEPS) - 1
NEAR = 0.5
"""Of the day's share: below it nothing is done."""
LOOK_MS = 300_000
"""How long a step is watched before the next."""
WATCH_MS = 12 * LOOK_MS
"""A rate is drawn from no longer than that, or what begins late in the day would go unseen for hours."""


@dataclass(frozen=True, slots=True)
class Budget:
    """The limits that are set; a day's share is the smallest of them. All None: no budget."""

    units_per_day: int | None = None
    bytes_per_day: int | None = None
    cost_per_month_usd: float | None = None

    def __bool__(self) -> bool:
        limits = (self.units_per_day, self.bytes_per_day, self.cost_per_month_usd)
        return any(limit is not None for limit in limits)


@dataclass(frozen=True, slots=True)
class Limit:
    """One limit's share of a day, and what is used of it, in its own unit."""

    name: str
    share: float
    used: float

    @property
    def part(self) -> float:
        """What of the share is used, 1 being all; of a share of nothing, all is."""
        return self.used / self.share if self.share > 0 else 1.0 + self.used


@dataclass(frozen=True, slots=True)
class Standing:
    """Where the day stands at `utc_ms`: the limit that is nearest."""

    utc_ms: int
    limit: Limit

    @property
    def day(self) -> int:
        return self.utc_ms // DAY_MS


@dataclass(frozen=True, slots=True)
class Stand:
    """The step in force, of which day, since when, and the part that was used then."""

    step: int
    day: int
    since_ms: int
    part: float


@dataclass(frozen=True, slots=True)
class Verdict:
    """What `decide` says. `forecast`: the part of the share used by midnight at the present rate."""

    stand: Stand
    changed: bool
    forecast: float


def parse(section: Section) -> Budget:
    """Read `uplink.budget`."""
    budget = Budget(
        section.integer("units_per_day", low=10, high=1 << 40) if section.has("units_per_day") else None,
        section.integer("bytes_per_day", low=10_000, high=1 << 50) if section.has("bytes_per_day") else None,
        section.number("cost_per_month_usd", low=0.001, high=1e6)
        if section.has("cost_per_month_usd")
        else None,
    )
    section.close()
    return budget


def standing(budget: Budget, ledger: Ledger, prices: Prices, utc_ms: int) -> Standing:
    """How the day stands. A month's cost is shared out over the days that are left of it."""
    day = utc_ms // DAY_MS
    used = ledger.total(day, day)
    found = []
    if budget.units_per_day is not None:
        found.append(Limit("units_per_day", budget.units_per_day, used.units))
    if budget.bytes_per_day is not None:
        found.append(Limit("bytes_per_day", budget.bytes_per_day, used.size_bytes))
    if budget.cost_per_month_usd is not None:
        first, last = month_of(day)
        left_usd = budget.cost_per_month_usd - ledger.usd(first, day - 1, prices)
        share = max(0.0, left_usd / (last - day + 1))
        found.append(Limit("cost_per_month_usd", share, ledger.usd(day, day, prices)))
    return Standing(utc_ms, max(found, key=lambda limit: limit.part))


def decide(before: Stand | None, now: Standing) -> Verdict:
    """The step from now on. `before` None: nothing is known of earlier."""
    part = now.limit.part
    if before is None or before.day != now.day:
        fresh = Stand(0, now.day, now.utc_ms, part)
        return Verdict(fresh, before is not None and before.step > 0, part)
    passed_ms = now.utc_ms - before.since_ms
    left_ms = (now.day + 1) * DAY_MS - now.utc_ms
    forecast = part + (part - before.part) * left_ms / passed_ms if passed_ms > 0 else part
    if passed_ms >= LOOK_MS and part >= NEAR and forecast > 1 and before.step < LAST_STEP:
        return Verdict(Stand(before.step + 1, now.day, now.utc_ms, part), True, forecast)
    watched_ms = LOOK_MS if part < NEAR else WATCH_MS
    if passed_ms < 0 or passed_ms >= watched_ms:
        return Verdict(Stand(before.step, now.day, now.utc_ms, part), False, forecast)
    return Verdict(before, False, forecast)


def month_of(day: int) -> tuple[int, int]:
    """The first and last day, since 1970, of the month that a day is in."""
    date = datetime.fromtimestamp(day * DAY_MS / 1000, UTC)
    first = day - (date.day - 1)
    return first, first + calendar.monthrange(date.year, date.month)[1] - 1


def says(step: int) -> str:
    """What a step means, in words."""
    if step == 0:
        return "raw samples and windows are sent as configured"
    factor = STEPS[step]
    return "raw samples stay on the gateway" + (f", windows are {factor} times as long" if factor > 1 else "")
