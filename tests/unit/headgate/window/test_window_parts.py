from __future__ import annotations

import math
import random
import statistics
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.window.part import Block, Part, Rule, joined, part_of
from tests.support.naive_windows import Naive, Number, naive

DTYPES = {"f64": np.float64, "i64": np.int64, "u64": np.uint64}
RANGES = {"i64": (-(1 << 63), (1 << 63) - 1), "u64": (0, (1 << 64) - 1)}
Samples = list[tuple[int, Number | None, int]]


def numbers(kind: str) -> st.SearchStrategy[Any]:
    if kind == "f64":
        near = st.floats(-1e6, 1e6).map(lambda value: round(value, 3))
        return st.one_of(near, near.map(lambda value: value + 1e9), st.sampled_from([math.nan, math.inf]))
    low, high = RANGES[kind]
    return st.one_of(st.integers(low, high), st.integers(max(low, high - 9), high), st.integers(0, 70_000))


@st.composite
def tables(draw: st.DrawFn) -> tuple[str, list[int], list[list[Any]], list[list[int]]]:
    """Kind, ascending times, rows of values and of qualities."""
    kind = draw(st.sampled_from(sorted(DTYPES)))
    times = sorted(draw(st.lists(st.integers(0, 9_999), min_size=1, max_size=20)))
    width = draw(st.integers(1, 3))
    rows = draw(
        st.lists(
            st.lists(numbers(kind), min_size=width, max_size=width),
            min_size=len(times),
            max_size=len(times),
        )
    )
    quality = st.sampled_from([0, 0, 0, 0, 1, 3])
    codes = [[draw(quality) for _ in range(width)] for _ in times]
    return kind, times, rows, codes


def block(kind: str, times: list[int], rows: list[list[Any]], codes: list[list[int]] | None) -> Block:
    quality = None if codes is None else np.array(codes, np.uint8)
    return Block(np.array(times, np.int64), np.array(rows, DTYPES[kind]), quality)


def assert_same(part: Part, j: int, expected: Naive | None) -> None:
    """The part's series `j` is what the naive computation says."""
    if expected is None:
        assert part.count[j] == 0
        return
    assert (part.seen[j], part.good[j], part.count[j]) == (expected.seen, expected.good, expected.count)
    exact = [field[j].item() for field in (part.low, part.high, part.first, part.last)]
    assert exact == [expected.low, expected.high, expected.first, expected.last]
    span = max(float(expected.high - expected.low), 1e-300)
    assert (
        abs(Fraction(part.base[j].item()) + Fraction(float(part.offset[j])) - expected.mean) <= 1e-12 * span
    )
    std = math.sqrt(float(part.m2[j]) / expected.count)
    assert std == pytest.approx(math.sqrt(expected.variance), rel=1e-9, abs=1e-12 * span)
    if part.total is not None:
        assert part.total[j] == expected.total
    if expected.weighted is not None:
        weighted = Fraction(part.base[j].item()) + Fraction(float(part.area[j])) / int(part.weight_ms[j])
        assert abs(weighted - expected.weighted) <= 1e-11 * span
    else:
        assert part.weight_ms[j] == 0
    if part.increase is not None and part.resets is not None:
        assert part.resets[j] == expected.resets
        increase = part.increase[j]
        if part.total is not None:
            assert increase == expected.increase
        else:
            assert float(increase) == pytest.approx(float(expected.increase), rel=1e-9, abs=1e-3)


@given(
    tables(),
    st.sets(st.integers(1, 19)),
    st.sampled_from([300, 60_000]),
    st.sampled_from([None, 0, 65_536, 1 << 64]),
    st.booleans(),
)
def test_parts_put_together_equal_a_separate_computation(
    table: tuple[str, list[int], list[list[Any]], list[list[int]]],
    cuts: set[int],
    hold_ms: int,
    wrap: int | None,
    all_good: bool,
) -> None:
    kind, times, rows, codes = table
    rule = Rule(hold_ms, wrap)
    whole = block(kind, times, rows, None if all_good else codes)
    edges = [0, *sorted(cut for cut in cuts if cut < len(times)), len(times)]
    with np.errstate(over="ignore", invalid="ignore"):
        parts = [part_of(whole.rows(slice(a, b)), rule) for a, b in pairwise(edges)]
        part = parts[0]
        for later in parts[1:]:
            part = joined(part, later, rule)
    for j in range(len(rows[0])):
        samples: Samples = [
            (t, row[j], 0 if all_good else code[j]) for t, row, code in zip(times, rows, codes, strict=True)
        ]
        assert_same(part, j, naive(samples, hold_ms, wrap or 0))


def test_the_spread_survives_values_far_from_zero() -> None:
    rng = random.Random(1)
    values = [1e9 + rng.gauss(0, 0.01) for _ in range(1_000)]
    whole = block("f64", list(range(1_000)), [[value] for value in values], None)
    part = part_of(whole.rows(slice(0, 10)), Rule())
    for start in range(10, 1_000, 10):
        part = joined(part, part_of(whole.rows(slice(start, start + 10)), Rule()), Rule())
    assert math.sqrt(part.m2[0] / 1_000) == pytest.approx(statistics.pstdev(values), rel=1e-9)


def test_the_mean_of_the_largest_doubles_is_still_one() -> None:
    largest = 1.7e308
    with np.errstate(over="ignore", invalid="ignore"):
        part = part_of(
            block("f64", [1, 2, 3, 4], [[largest], [-largest], [largest], [largest]], None), Rule()
        )
    assert part.base[0] + part.offset[0] == pytest.approx(largest / 2)


def test_rows_are_put_in_order_of_time_and_of_equal_times_as_acquired() -> None:
    mixed = block("f64", [5, 3, 3, 9, 9], [[50.0], [30.0], [31.0], [90.0], [91.0]], None)
    part = part_of(mixed.in_order(), Rule())
    assert (part.first[0], part.last[0]) == (30.0, 91.0)
