"""Simulated days of a gateway with a budget: what lands under it, and that nothing falls silent."""

from __future__ import annotations

import itertools
import random
from dataclasses import dataclass

import pytest

from headgate.uplink import budget
from headgate.uplink.budget import LAST_STEP, LOOK_MS, STEPS, Budget, Limit, Stand, Standing, decide
from headgate.uplink.config import parse_mapping
from headgate.uplink.ledger import DAY_MS, Ledger
from headgate.uplink.prices import Prices, units_of

DAY = 20_454  # 2026-01-01
MINUTE_MS = 60_000
LIVE = "$aws/rules/hg_ingest_v1/hg/v1/gw/up/live/json"


@dataclass
class Load:
    """A gateway's units a day when nothing is thinned, and its other messages an hour."""

    raw: float
    windows: float
    alarms_per_h: int = 2

    @property
    def whole(self) -> float:
        return self.raw + self.windows + 24 * self.alarms_per_h


def play(limit: Budget, load: Load, days: int, *, seed: int = 1, burst: float = 1.0) -> Played:
    """Minute by minute; with `burst` the load doubles and more in random hours."""
    rng, ledger, prices = random.Random(seed), Ledger(), Prices()
    stand: Stand | None = None
    played = Played(ledger)
    owed = 0.0
    for minute in range(days * 1_440):
        utc_ms = DAY * DAY_MS + minute * MINUTE_MS
        step = stand.step if stand else 0
        factor = burst if rng.random() < 0.1 else 1.0
        owed += factor * ((load.raw if step == 0 else 0) + load.windows / STEPS[step]) / 1_440
        while owed >= 1:
            ledger.up(utc_ms, LIVE, 4_000)
            owed -= 1
        if minute % (60 // load.alarms_per_h) == 0:
            ledger.up(utc_ms, LIVE.replace("live", "alarms"), 300)
        verdict = decide(stand, budget.standing(limit, ledger, prices, utc_ms))
        stand = verdict.stand
        played.steps.setdefault(utc_ms // DAY_MS, []).append(stand.step)
    return played


class Played:
    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.steps: dict[int, list[int]] = {}

    def units(self, day: int) -> int:
        return self.ledger.total(day, day).units


@pytest.mark.parametrize("times", [1.2, 2, 5, 10, 20])
@pytest.mark.parametrize("raw_part", [0.2, 0.5, 0.8])
def test_each_day_lands_under_its_units(times: float, raw_part: float) -> None:
    load = Load(raw_part * 10_000 * times, (1 - raw_part) * 10_000 * times)
    played = play(Budget(units_per_day=10_000), load, 3)
    for day, steps in played.steps.items():
        assert 5_000 < played.units(day) <= 10_000, (day, played.units(day), max(steps))
        assert steps[0] == 0, "the day's turn takes the steps back"


@pytest.mark.parametrize("times", [1.5, 4, 12])
def test_a_month_lands_under_its_cost_with_bursts(times: float) -> None:
    limit = Budget(cost_per_month_usd=0.09)  # 300,000 units of 0.30 a million, about 9,677 a day
    load = Load(4_000 * times, 6_000 * times)
    played = play(limit, load, 31, burst=3.0)
    assert 0.5 * 0.09 < played.ledger.usd(DAY, DAY + 30, Prices()) <= 0.09


def test_alarms_go_all_day_and_windows_too_however_small_the_budget() -> None:
    played = play(Budget(units_per_day=50), Load(50_000, 50_000), 2)
    for day, steps in played.steps.items():
        lines = {key.kind: use.messages for key, use in played.ledger.day(day).items()}
        assert lines["alarms"] == 48
        assert max(steps) == LAST_STEP
        assert lines["live"] >= 50_000 / STEPS[-1] * 0.9, "never silent"


def test_a_light_load_is_left_alone() -> None:
    played = play(Budget(units_per_day=10_000), Load(4_000, 5_000), 2)
    assert {step for steps in played.steps.values() for step in steps} == {0}


def test_steps_are_taken_one_at_a_time_and_only_up_within_a_day() -> None:
    played = play(Budget(units_per_day=10_000), Load(40_000, 60_000), 2)
    for steps in played.steps.values():
        assert all(after - before in (0, 1) for before, after in itertools.pairwise(steps))


def test_a_clock_set_back_neither_steps_nor_divides_by_nothing() -> None:
    now = Standing(DAY * DAY_MS + 10 * LOOK_MS, Limit("units_per_day", 100, 90))
    before = Stand(1, DAY, now.utc_ms + 5_000, 0.9)
    assert decide(before, now).stand.step == 1
    assert decide(Stand(1, DAY, now.utc_ms, 0.9), now).stand.step == 1


def test_a_month_that_is_spent_leaves_a_share_of_nothing() -> None:
    ledger = Ledger()
    ledger.up(DAY * DAY_MS, LIVE, 5_000)
    now = budget.standing(Budget(cost_per_month_usd=1e-7), ledger, Prices(), (DAY + 1) * DAY_MS)
    assert (now.limit.share, now.limit.part) == (0.0, 1.0)


def test_months_have_their_own_length() -> None:
    assert budget.month_of(DAY + 40) == (DAY + 31, DAY + 58)


def test_the_section_is_read() -> None:
    config = parse_mapping(
        {
            "mode": "handed_over",
            "budget": {"units_per_day": 5_000, "cost_per_month_usd": 0.5},
            "prices": {"message_usd_per_million": 1.2},
        }
    )
    assert config.mode == "handed_over"
    assert config.budget == Budget(units_per_day=5_000, cost_per_month_usd=0.5)
    assert config.prices == Prices(message_usd_per_million=1.2)
    assert not parse_mapping({}).budget
    assert units_of(LIVE, 4_000) == 1
