from __future__ import annotations

import pytest

from headgate.roles.hub_pulse import MAX_BRIDGES, Pulse

STEP_MS = 10_000


@pytest.fixture
def pulse() -> Pulse:
    return Pulse(["modbus"], 90_000, 2 * STEP_MS)


def announce(pulse: Pulse, times: int, from_ms: int = 0) -> int:
    for i in range(times):
        pulse.asked(from_ms + i * STEP_MS)
    return from_ms + times * STEP_MS


def test_a_bridge_is_silent_when_it_left_announcements_unanswered_for_long_enough(pulse: Pulse) -> None:
    now_ms = announce(pulse, 9)
    assert pulse.silent() == []
    announce(pulse, 1, now_ms)
    assert pulse.silent() == ["modbus"]
    assert not pulse.was_stopped("modbus")
    pulse.settle("modbus")
    announce(pulse, 20, now_ms + STEP_MS)
    assert pulse.silent() == []


def test_answers_and_batches_are_signs_of_life(pulse: Pulse) -> None:
    now_ms = 0
    for _ in range(20):
        pulse.alive("modbus", 7)
        now_ms = announce(pulse, 1, now_ms)
    for run_id in range(20):
        pulse.batch("modbus", run_id)
        now_ms = announce(pulse, 8, now_ms)
    assert pulse.silent() == []


def test_a_bridge_that_always_dies_again_is_silent(pulse: Pulse) -> None:
    now_ms = 0
    for run_id in range(10):
        pulse.alive("modbus", run_id)
        now_ms = announce(pulse, 1, now_ms)
    assert pulse.silent() == ["modbus"]
    pulse.alive("modbus", 9)
    assert pulse.silent() == []


def test_time_without_announcements_counts_against_nobody(pulse: Pulse) -> None:
    now_ms = 0
    for _ in range(30):  # every second one fails
        now_ms = announce(pulse, 1, now_ms) + STEP_MS
        pulse.not_asked()
    assert pulse.silent() == []
    now_ms = announce(pulse, 3, now_ms)
    announce(pulse, 1, now_ms + 3_600_000)  # suspended meanwhile
    assert pulse.silent() == []


def test_what_comes_of_a_stopped_run_does_not_start_it_again(pulse: Pulse) -> None:
    pulse.batch("modbus", 7)
    pulse.stopping("modbus", 7)
    pulse.batch("modbus", 7)
    assert pulse.was_stopped("modbus")
    pulse.alive("modbus", 8)
    assert not pulse.was_stopped("modbus")


def test_the_number_of_bridges_is_bounded(pulse: Pulse) -> None:
    for i in range(2 * MAX_BRIDGES):
        pulse.batch(f"bridge-{i}", 1)
    announce(pulse, 20)
    assert len(pulse.silent()) == MAX_BRIDGES
