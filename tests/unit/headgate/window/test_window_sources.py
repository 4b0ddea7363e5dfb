from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.model import Series
from headgate.window.definition import STATISTICS, Definition
from headgate.window.part import Rule
from headgate.window.source import SourceTuning
from tests.support.window_world import Rows, World

F = Series("a/f")
SERIES = (
    F,
    Series("a/g", "V", "f64", 1),
    Series("a/i", kind="i64"),
    Series("a/u", kind="u64"),
    Series("a/b", kind="bool"),
    Series("a/t", kind="text"),
)
ALL = frozenset(STATISTICS)
DEFINITIONS = st.sampled_from(
    [
        Definition(1_000, 1_000, Rule(400), ALL),
        Definition(1_000, 1_000, Rule(60_000), frozenset()),
        Definition(3_000, 1_000, Rule(60_000), ALL),
        Definition(2_000, 500, Rule(700, 0)),
        Definition(1_500, 1_500, Rule(60_000, 65_536), ALL),
    ]
)


def values(series: Series) -> st.SearchStrategy[Any]:
    match series.kind:
        case "f64":
            number = st.floats(-1e6, 1e6).map(lambda value: round(value, 2))
            return st.one_of(number, number, st.sampled_from([None, math.nan, math.inf, 0.0]))
        case "i64":
            return st.one_of(st.none(), st.integers(-(1 << 63), (1 << 63) - 1), st.integers(0, 65_535))
        case "u64":
            return st.one_of(st.integers((1 << 64) - 100, (1 << 64) - 1), st.integers(0, 65_535))
        case "bool":
            return st.booleans()
        case _:
            return st.just("on")


@st.composite
def rows(draw: st.DrawFn) -> Rows:
    series = tuple(draw(st.lists(st.sampled_from(SERIES), min_size=1, max_size=6, unique=True)))
    times = draw(st.lists(st.integers(100_000, 112_000), min_size=1, max_size=4))
    found = [[draw(values(each)) for each in series] for _ in times]
    quality = [[draw(st.sampled_from([0, 0, 0, 1, 2])) for _ in series] for _ in times]
    return Rows(series, times, found, draw(st.sampled_from([quality, ()])))


STEPS = st.lists(
    st.one_of(rows(), rows(), rows(), st.sampled_from(["seal", "restart", "silence"])), max_size=25
)


@settings(max_examples=150)
@given(
    st.fixed_dictionaries({series.name: DEFINITIONS for series in SERIES}),
    STEPS,
    st.sampled_from([0, 300, 2_500]),
    st.sampled_from([0, 8 << 20]),
)
def test_windows_equal_a_separate_computation_whatever_comes_when(
    definitions: dict[str, Definition], steps: list[Any], lateness_ms: int, memory_bytes: int
) -> None:
    world = World(definitions, SourceTuning(lateness_ms, memory_bytes))
    for step in steps:
        match step:
            case "seal":
                world.seal()
            case "restart":
                world.restart()
            case "silence":
                world.source.close_all()
            case _:
                world.batch(step)
    world.finish()
    keys = world.every_key()
    assert set(world.told) <= keys
    for key in keys:
        if key[2].kind != "text":
            world.expected(key)


def world(definition: Definition, **tuning: int) -> World:
    return World({F.name: definition}, SourceTuning(**tuning))


def fill(world: World, *samples: tuple[int, float]) -> None:
    world.batch(Rows((F,), [t for t, _ in samples], [[value] for _, value in samples]))


def test_a_window_closes_by_the_sources_own_time_and_lateness() -> None:
    found = world(Definition(1_000, 1_000), lateness_ms=300)
    fill(found, (100, 1.0), (900, 2.0), (1_100, 3.0))
    fill(found, (950, 4.0), (1_299, 5.0))
    found.seal()
    assert (found.told, found.source.oldest_position) == ({}, 1)
    fill(found, (1_300, 6.0))
    found.seal()
    assert [(key[0], row.count, row.last) for key, row in found.told.items()] == [(0, 3, 4.0)]
    assert found.source.closed_ms == {1_000: 1_000}
    assert found.source.oldest_position == 1


def test_a_late_sample_has_its_window_told_again_with_a_greater_revision() -> None:
    found = world(Definition(1_000, 1_000), lateness_ms=0)
    fill(found, (100, 1.0), (1_500, 2.0))
    found.seal()
    fill(found, (200, 3.0))
    fill(found, (300, 5.0))
    found.seal()
    key = (0, 1_000, F)
    assert (found.told[key].count, found.revisions[key]) == (3, 3)
    assert (found.source.counters.late, found.source.counters.corrected) == (2, 1)
    fill(found, (400, 5.0))
    found.seal()
    assert (found.told[key].count, found.revisions[key]) == (4, 4)


def test_a_late_sample_changes_the_time_weighted_mean_of_the_window_behind_it_too() -> None:
    found = world(Definition(1_000, 1_000, Rule(), ALL), lateness_ms=0)
    fill(found, (0, 1.0), (1_500, 2.0), (2_500, 2.0))
    found.seal()
    assert found.told[1_000, 1_000, F].time_mean == 1.5
    fill(found, (900, 3.0))
    found.seal()
    assert found.told[1_000, 1_000, F].time_mean == 2.5
    assert found.revisions[1_000, 1_000, F] == 2


def test_a_long_row_of_late_samples_is_read_back_in_few_goes() -> None:
    found = world(Definition(1_000, 1_000, Rule(), ALL), lateness_ms=0)
    fill(found, *((t, 1.0) for t in range(0, 900_000, 1_000)))
    found.seal()
    found.history.asked = 0
    fill(found, *((t, 2.0) for t in range(500, 600_000, 1_000)))
    found.seal()
    assert found.history.asked < 40
    assert 600 <= found.source.counters.corrected <= 603
    for start_ms in range(0, 600_000, 77_000):
        found.expected((start_ms, 1_000, F))


def test_samples_of_a_large_window_are_summed_up_before_they_fill_the_memory() -> None:
    found = world(
        Definition(600_000, 600_000, percentiles=(0.5, 0.99)), lateness_ms=1_000, memory_bytes=100_000
    )
    most = 0
    for start in range(0, 400_000, 1_000):
        fill(found, *((t, float(t % 997)) for t in range(start, start + 1_000, 10)))
        most = max(most, found.source.raw_bytes)
    assert most < 120_000
    found.finish()
    row = found.told[0, 600_000, F]
    assert (row.count, row.min, row.max) == (40_000, 0.0, 996.0)
    assert [value for _, value in row.percentiles] == [pytest.approx(498, abs=5), pytest.approx(987, abs=5)]


def test_a_source_that_is_silent_for_long_leaves_nothing_behind() -> None:
    found = world(Definition(1_000, 1_000), lateness_ms=0)
    for i in range(200):
        series = Series(f"a/s{i}")
        found.definitions = {**found.definitions, series.name: Definition(1_000, 1_000)}
        found.batch(Rows((series,), [i * 600_000], [[1.0]]))
    assert len(found.source._lines) < 10
