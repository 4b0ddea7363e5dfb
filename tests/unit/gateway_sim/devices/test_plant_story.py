"""The story's relations hold at every moment, and the seed alone decides it."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_sim.devices.story import (
    FLOW_TAU_S,
    HEAT_LOSS_W_PER_K,
    ROOM_C,
    Wave,
    boiler,
    boiler_story,
    meter,
    meter_story,
    wave,
)

SECONDS = st.floats(0, 1e6)
SEEDS = st.integers(0, 1000)
SIGNS = st.sampled_from([1, -1])


def slope(of: Wave, t_s: float, step_s: float = 1e-3) -> float:
    return (of.at(t_s + step_s) - of.at(t_s - step_s)) / (2 * step_s)


@given(SEEDS, SIGNS, SECONDS)
def test_a_phase_obeys_its_power_triangle_and_its_line(seed: int, sign: int, t_s: float) -> None:
    story = meter_story(seed, "meter", sign)
    for phase in meter(story, t_s).phases:
        assert phase.p_w == pytest.approx(phase.u_v * phase.i_a * phase.pf)
        assert phase.s_va**2 == pytest.approx(phase.p_w**2 + phase.q_var**2)
        assert phase.u_v == pytest.approx(story.source_v - sign * story.line_ohm * phase.i_a)
        assert (phase.p_w > 0) == (sign > 0)


@given(SEEDS, st.floats(0, 1e5))
def test_energy_is_the_integral_of_power(seed: int, t_s: float) -> None:
    load = meter_story(seed, "meter", 1).loads[0]
    steps = 4000
    midpoints = (t_s + (k + 0.5) * 10 / steps for k in range(steps))
    by_sum = sum(load.at(moment) for moment in midpoints) * 10 / steps
    assert load.integral(t_s + 10) - load.integral(t_s) == pytest.approx(by_sum, rel=1e-6)


@given(SEEDS, st.floats(0, 1e4))
def test_flow_temperature_lags_the_burner(seed: int, t_s: float) -> None:
    story = boiler_story(seed, "boiler")
    source_c = ROOM_C + story.heat.at(t_s) / HEAT_LOSS_W_PER_K
    assert slope(story.flow, t_s) == pytest.approx((source_c - story.flow.at(t_s)) / FLOW_TAU_S, abs=1e-5)


@given(SEEDS, SECONDS)
def test_energies_only_grow(seed: int, t_s: float) -> None:
    meters, boilers = meter_story(seed, "m", -1), boiler_story(seed, "b")
    assert meter(meters, t_s + 1).energy_kwh > meter(meters, t_s).energy_kwh
    assert boiler(boilers, t_s + 1).gas_m3 > boiler(boilers, t_s).gas_m3


def test_the_seed_decides_everything() -> None:
    once, again = (wave(random.Random(5), 1.0, (2.0, 3.0)) for _ in range(2))
    assert once == again
    assert meter(meter_story(1, "m", 1), 7.5) == meter(meter_story(1, "m", 1), 7.5)
    assert meter(meter_story(1, "m", 1), 7.5) != meter(meter_story(2, "m", 1), 7.5)
    assert meter(meter_story(1, "m", 1), 7.5) != meter(meter_story(1, "n", 1), 7.5)
