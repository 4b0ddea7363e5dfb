"""Ticks without drift, missed ones counted; the breaker's waits; phases spread."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headgate.modbus.breaker import Breaker
from headgate.modbus.schedule import Schedule, spread_phase_ms


@given(
    st.lists(st.tuples(st.integers(1, 50), st.integers(0, 100)), min_size=1, max_size=6),
    st.lists(st.integers(0, 70), min_size=1, max_size=60),
)
def test_every_tick_is_taken_or_counted_as_missed_and_none_drifts(
    items: list[tuple[int, int]], steps: list[int]
) -> None:
    schedule: Schedule[int] = Schedule()
    for number, (interval_ms, first_ms) in enumerate(items):
        schedule.add(number, interval_ms, first_ms)
    taken = [0] * len(items)
    now_ms = 0
    for step in steps:
        now_ms += step
        while (item := schedule.take(now_ms)) is not None:
            taken[item] += 1
        next_ms = schedule.next_ms()
        assert next_ms is not None
        assert next_ms > now_ms
    passed = [max(0, (now_ms - first_ms) // interval_ms + 1) for interval_ms, first_ms in items]
    assert sum(taken) + schedule.missed == sum(passed)
    dues = [first + n * interval for n, (interval, first) in zip(passed, items, strict=True)]
    assert schedule.next_ms() == min(dues)


def test_a_line_that_cannot_keep_up_serves_all_its_groups_in_turn() -> None:
    schedule: Schedule[str] = Schedule()
    for name in "abc":
        schedule.add(name, 10, 0)
    taken = [schedule.take(now_ms) for now_ms in range(0, 300, 10)]
    assert {name: taken.count(name) for name in "abc"} == {"a": 10, "b": 10, "c": 10}


def test_keep_goes_by_identity() -> None:
    first, second = [1], [1]
    schedule: Schedule[list[int]] = Schedule()
    schedule.add(first, 10, 0)
    schedule.add(second, 10, 5)
    schedule.keep([second])
    assert schedule.next_ms() == 5
    assert schedule.take(5) is second


def test_nothing_is_due_in_an_empty_schedule() -> None:
    schedule: Schedule[str] = Schedule()
    assert schedule.next_ms() is None
    assert schedule.take(10**9) is None


def test_phases_fill_the_interval() -> None:
    for count in range(1, 40):
        phases = sorted(spread_phase_ms(i, 1000) for i in range(count))
        gaps = [b - a for a, b in zip(phases, [*phases[1:], phases[0] + 1000], strict=True)]
        assert 0 <= phases[0] <= phases[-1] < 1000
        assert max(gaps) <= 2.7 * 1000 / count + 2


def test_the_breaker_opens_doubles_its_wait_and_closes() -> None:
    breaker = Breaker(failures_to_open=2, first_ms=100, max_ms=350)
    breaker.failed(0)
    assert breaker.allows(0)
    waits = []
    now_ms = 0
    for _ in range(4):
        breaker.failed(now_ms)
        assert not breaker.allows(breaker.retry_at_ms - 1)
        assert breaker.allows(breaker.retry_at_ms)
        waits.append(breaker.retry_at_ms - now_ms)
        now_ms = breaker.retry_at_ms
    assert waits == [100, 200, 350, 350]
    breaker.succeeded()
    assert not breaker.open
    assert breaker.allows(0)
