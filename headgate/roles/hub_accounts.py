"""The hub's accounts: the ledger made durable and reported each day, the budget kept, the uplink's mode."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from headgate.bus.api import Bus
from headgate.clock import UTC_PLAUSIBLE_MS, Clock
from headgate.envelope.reports import pack_report
from headgate.roles.hub_pipeline import Booking, Pipeline
from headgate.store.state import State
from headgate.store.writer import Writer
from headgate.uplink import budget
from headgate.uplink.budget import LAST_STEP, STEPS, Stand, Standing, Verdict
from headgate.uplink.config import Mode, UplinkConfig
from headgate.uplink.handed import WARNINGS
from headgate.uplink.ledger import DAY_MS, DAYS_KEPT, Ledger, lines_from, rows_of, summary
from headgate.uplink.metered import MeteredBus
from headgate.uplink.sender import Uplink
from headgate.window.config import MAX_LENGTH_S, WindowsConfig
from headgate.window.definition import Definition

log = logging.getLogger(__name__)

Configured = Callable[[], WindowsConfig]
"""The windows that the site document asks for."""

LOOK_MS = 60_000
MAX_LENGTH_MS = round(1000 * MAX_LENGTH_S)


@dataclass(frozen=True, slots=True)
class Today:
    """What the day and the month came to so far; `usd` are estimates of messages alone."""

    day: int
    messages: int
    size_bytes: int
    units: int
    usd: float
    month_usd: float


class Accounts:
    """One gateway's. Use `bus` for all that goes to the cloud, so that it is booked."""

    def __init__(self, bus: Bus, clock: Clock, state: State, config: UplinkConfig) -> None:
        self.ledger = Ledger(lines_from(state.ledger()))
        self.bus = MeteredBus(bus, clock, self.ledger)
        self._clock = clock
        self._config = config
        self._said: Mode | None = None
        self._reported_day = state.note("ledger_day")
        self._stand: Stand | None = None
        utc_ms = clock.utc_ms()
        if config.budget and state.note("budget_day") == utc_ms // DAY_MS:
            step = min(state.note("budget_step"), LAST_STEP)
            part = self._standing(utc_ms).limit.part
            self._stand = Stand(step, utc_ms // DAY_MS, utc_ms, part)
        self._over_day = 0

    @property
    def step(self) -> int:
        """Of the budget, in force now; 0: nothing is thinned."""
        return self._stand.step if self._stand and self._config.budget else 0

    def windows(self, configured: WindowsConfig) -> WindowsConfig:
        """The windows to make at the step in force."""
        factor = STEPS[self.step]
        rules = tuple(
            replace(rule, definition=_longer(rule.definition, factor)) if rule.definition else rule
            for rule in configured.rules
        )
        return replace(configured, default=_longer(configured.default, factor), rules=rules)

    def configure(self, config: UplinkConfig, uplink: Uplink, pipeline: Pipeline) -> None:
        """Apply the site's `uplink:` section; says in the log what its mode cannot promise."""
        self._config = config
        uplink.mode = config.mode
        pipeline.raw = self.step == 0
        if config.mode != self._said:
            self._said = config.mode
            if config.mode in WARNINGS:
                log.warning("%s", WARNINGS[config.mode])

    def booking(self) -> Booking:
        """What to make durable with the next seal."""
        day = self._clock.utc_ms() // DAY_MS
        notes = {"ledger_day": self._reported_day}
        if self._stand is not None:
            notes |= {"budget_day": self._stand.day, "budget_step": self._stand.step}
        return Booking(rows_of(self.ledger.take_changed()), day - DAYS_KEPT, notes)

    def today(self) -> Today:
        """The account of the present UTC day."""
        day = self._clock.utc_ms() // DAY_MS
        use = self.ledger.total(day, day)
        prices = self._config.prices
        first, _ = budget.month_of(day)
        return Today(
            day,
            use.messages,
            use.size_bytes,
            use.units,
            self.ledger.usd(day, day, prices),
            self.ledger.usd(first, day, prices),
        )

    def usage(self) -> list[dict[str, object]]:
        """The lines of the last 31 days that have any, as JSON values; the newest day first."""
        return [
            {"day": _date(day), **line}
            for day in reversed(self.ledger.days()[-31:])
            for line in summary(self.ledger.day(day), self._config.prices)
        ]

    async def run(self, pipeline: Pipeline, writer: Writer, configured: Configured) -> None:
        """Look at the day and the budget every minute, until cancelled."""
        while True:
            await self._clock.sleep_until(self._clock.boot_ms() + LOOK_MS)
            utc_ms = self._clock.utc_ms()
            if utc_ms < UTC_PLAUSIBLE_MS:  # no day to book on, nor midnight to reach
                continue
            await self._report_days(utc_ms // DAY_MS, pipeline, writer)
            if self._config.budget:
                await self._keep_budget(utc_ms, pipeline, writer, configured)

    async def _report_days(self, day: int, pipeline: Pipeline, writer: Writer) -> None:
        """Each day that is over is reported once; a crash before the report is durable repeats it."""
        past = [each for each in self.ledger.days() if self._reported_day < each < day]
        for each in past[-7:]:
            part = pack_report("ledger", self._day(each), self._clock.state())
            await writer.call(pipeline.report, part)
        if past:
            self._reported_day = past[-1]
        self.ledger.forget(day - DAYS_KEPT)

    async def _keep_budget(
        self, utc_ms: int, pipeline: Pipeline, writer: Writer, configured: Configured
    ) -> None:
        now = self._standing(utc_ms)
        verdict = budget.decide(self._stand, now)
        self._stand = verdict.stand
        if verdict.changed:
            pipeline.raw = self.step == 0
            await writer.call(pipeline.set_windows, self.windows(configured()))
        over = verdict.forecast > 1 and verdict.stand.step == LAST_STEP and self._over_day != now.day
        if verdict.changed or over:
            self._over_day = now.day if over else self._over_day
            await self._say(verdict, now, pipeline, writer)

    async def _say(self, verdict: Verdict, now: Standing, pipeline: Pipeline, writer: Writer) -> None:
        step, limit = verdict.stand.step, now.limit
        why = f"{limit.name}: {limit.used:.6g} of {limit.share:.6g} of the day used"
        if step:
            why += f", {verdict.forecast:.0%} by midnight UTC at this rate"
        fields: dict[str, object] = {"step": step, "of": LAST_STEP, "says": budget.says(step), "why": why}
        fields |= {"t": now.utc_ms, "until": (now.day + 1) * DAY_MS if step else None}
        log.warning("budget step %d of %d: %s (%s)", step, LAST_STEP, budget.says(step), why)
        await writer.call(pipeline.report, pack_report("budget", fields, self._clock.state()))

    def _standing(self, utc_ms: int) -> Standing:
        return budget.standing(self._config.budget, self.ledger, self._config.prices, utc_ms)

    def _day(self, day: int) -> dict[str, object]:
        lines, prices = self.ledger.day(day), self._config.prices
        first, _ = budget.month_of(day)
        return {
            "day": _date(day),
            "rows": summary(lines, prices),
            "usd": round(self.ledger.usd(day, day, prices), 6),
            "month_usd": round(self.ledger.usd(first, day, prices), 6),
        }


def _date(day: int) -> str:
    return datetime.fromtimestamp(day * DAY_MS / 1000, UTC).date().isoformat()


def _longer(definition: Definition, factor: int) -> Definition:
    """The same, so many times as long, an hour at most."""
    factor = max(1, min(factor, MAX_LENGTH_MS // definition.length_ms))
    return replace(definition, length_ms=factor * definition.length_ms, step_ms=factor * definition.step_ms)
