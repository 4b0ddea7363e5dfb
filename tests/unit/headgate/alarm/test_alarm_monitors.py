from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.alarm.config import Alarm, parse_mapping
from headgate.alarm.monitor import Monitor
from headgate.alarm.watch import Watch
from headgate.columns import Columns
from headgate.config.pattern import Pattern
from headgate.errors import Reject
from headgate.model import AlarmEvent, Series

A = Series("meter-a/power", "W")


def alarm(**fields: Any) -> Alarm:
    given: dict[str, Any] = {"name": "hot", "series": "meter-*/power", **fields}
    (found,) = parse_mapping({"rules": [given]})
    return found


def told(events: list[AlarmEvent | None]) -> list[tuple[str, int, float | None]]:
    return [(event.state, event.t_ms, event.value) for event in events if event is not None]


def run(of: Alarm, *samples: tuple[int, float]) -> list[tuple[str, int, float | None]]:
    monitor = Monitor(of, A)
    return told([monitor.sample(t_ms, value) for t_ms, value in samples])


def test_a_threshold_is_raised_beyond_it_and_cleared_behind_the_hysteresis() -> None:
    found = run(alarm(above=10, hysteresis=2), (0, 10), (1, 10.1), (2, 50), (3, 9), (4, 8), (5, 7), (6, 11))
    assert found == [("raised", 1, 10.1), ("cleared", 4, 8), ("raised", 6, 11)]
    assert run(alarm(below=0), (0, 0), (1, -1), (2, 0)) == [("raised", 1, -1), ("cleared", 2, 0)]


def test_it_is_raised_when_it_has_held_for_long_enough() -> None:
    held = alarm(above=10, hold_s=1)
    assert run(held, (0, 11), (500, 9), (600, 11), (1_599, 12), (1_700, 12)) == [("raised", 1_600, 12)]
    monitor = Monitor(held, A)
    assert told([monitor.sample(0, 11), monitor.tick(900), monitor.tick(2_500), monitor.tick(3_000)]) == [
        ("raised", 1_000, 11)
    ]


def test_a_change_is_measured_between_samples_that_are_apart_enough() -> None:
    assert run(alarm(rise_per_s=5, over_s=1), (0, 0), (500, 9), (1_000, 6), (2_000, 6)) == [
        ("raised", 1_000, 6.0),
        ("cleared", 2_000, 0.0),
    ]
    assert run(alarm(fall_per_s=5), (0, 0), (1_000, -6)) == [("raised", 1_000, -6.0)]
    assert run(alarm(fall_per_s=5), (0, 0), (1_000, 6)) == []


def test_a_series_that_falls_silent_is_stale_until_it_speaks() -> None:
    monitor = Monitor(alarm(stale_s=10), A)
    assert told([monitor.tick(50_000), monitor.sample(60_000, 1), monitor.tick(69_999)]) == []
    assert told([monitor.tick(71_000), monitor.tick(80_000), monitor.sample(90_000, 2)]) == [
        ("raised", 70_000, None),
        ("cleared", 90_000, 2),
    ]


@given(
    st.lists(st.tuples(st.integers(0, 20_000), st.integers(-5, 25)), max_size=60),
    st.sampled_from([0, 3]),
    st.sampled_from([0.0, 1.5]),
)
def test_raised_and_cleared_take_turns_in_order_of_time(
    samples: list[tuple[int, int]], hysteresis: float, hold_s: float
) -> None:
    found = run(alarm(above=10, hysteresis=hysteresis, hold_s=hold_s), *samples)
    assert [state for state, _, _ in found] == ["raised", "cleared"] * (len(found) // 2) + ["raised"] * (
        len(found) % 2
    )
    assert [t_ms for _, t_ms, _ in found] == sorted(t_ms for _, t_ms, _ in found)
    assert all((value or 0) > 10 for state, _, value in found if state == "raised")
    assert all((value or 0) <= 10 - hysteresis for state, _, value in found if state == "cleared")


def test_only_series_that_match_and_samples_that_count_are_watched() -> None:
    watch = Watch((alarm(above=10),))
    text, other = Series("meter-a/power2", kind="text"), Series("pump/power")
    columns = Columns(
        (A, text, other),
        [1, 2, 3],
        [[99.0, None, 12.0], ["a", "b", "c"], [99.0, 99.0, 99.0]],
        [bytes([3, 0, 0]), None, None],
    )
    assert [(event.series, event.t_ms) for event in watch.samples([columns], 0)] == [(A, 3)]


@pytest.mark.parametrize(
    ("pattern", "name", "matches"),
    [
        ("a/b", "a/b", True),
        ("*/b", "a/b", True),
        ("*/*", "a/b", True),
        ("a*/b", "a/cb", False),
        ("meter-[ab]/v?", "meter-b/v1", True),
        ("meter-[!ab]/v?", "meter-b/v1", False),
    ],
)
def test_patterns(pattern: str, name: str, matches: bool) -> None:
    assert Pattern(pattern).matches(name) is matches


def test_every_fault_is_named_with_its_path() -> None:
    with pytest.raises(Reject) as refused:
        parse_mapping(
            {
                "rules": [
                    {"name": "a b", "series": "x", "above": "much"},
                    {"name": "n", "series": ["a/b", 7], "above": 1, "below": 2},
                    {"name": "n", "series": "a/b", "stale_s": 0.1, "hold_s": 3, "serverity": "info"},
                    {"series": "a/b"},
                ]
            }
        )
    faults = {problem.path for problem in refused.value.problems}
    assert {
        "rules[0].name",
        "rules[0].series",
        "rules[0].above",
        "rules[1].series[1]",
        "rules[1]",
        "rules[2].name",
        "rules[2].stale_s",
        "rules[2].hold_s",
        "rules[2].serverity",
        "rules[3].name",
    } <= faults
