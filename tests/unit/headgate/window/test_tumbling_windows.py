from __future__ import annotations

import math
import random
import statistics
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.columns import Columns
from headgate.model import ClockState, Series, Value, Window
from headgate.window.stats import Stats
from headgate.window.tumbling import Tumbling

A = Series("a/x")
SYNCED = ClockState.SYNCED


def column(
    times: list[int], values: list[Value], quality: bytes | None = None, series: Series = A
) -> Columns:
    return Columns((series,), times, [values], [quality])


def spans(windows: list[Window]) -> list[tuple[int, int]]:
    return [(window.start_ms, row.count) for window in windows for row in window.rows.values()]


@given(st.lists(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=9), min_size=1, max_size=9))
def test_statistics_equal_a_separate_computation(chunks: list[list[float]]) -> None:
    stats, t = Stats(), 0
    for chunk in chunks:
        stats.add(range(t, t + len(chunk)), chunk)
        t += len(chunk)
    values = [value for chunk in chunks for value in chunk]
    row = stats.row()
    assert (row.count, row.min, row.max, row.first, row.last) == (
        len(values),
        min(values),
        max(values),
        values[0],
        values[-1],
    )
    scale = max(1.0, max(map(abs, values)))
    assert math.isclose(row.mean, statistics.fmean(values), rel_tol=1e-12, abs_tol=1e-12 * scale)
    assert math.isclose(row.std, statistics.pstdev(values), rel_tol=1e-9, abs_tol=1e-9 * scale)


def test_the_spread_survives_values_far_from_zero() -> None:
    rng = random.Random(1)
    values = [0.0, *(1e9 + rng.gauss(0, 0.01) for _ in range(1_000))]
    stats = Stats()
    for i in range(1, len(values), 10):
        stats.add(range(i, i + 10), values[i : i + 10])
    assert stats.row().std == pytest.approx(statistics.pstdev(values[1:]), rel=1e-4)


def test_first_and_last_are_by_time_and_of_equal_times_as_acquired() -> None:
    stats = Stats()
    stats.add([5, 3, 3, 9, 9], [50.0, 30.0, 31.0, 90.0, 91.0])
    stats.add([3, 9], [32.0, 92.0])
    assert (stats.row().first, stats.row().last) == (30.0, 92.0)


def test_a_window_closes_by_the_sources_own_time_and_lateness() -> None:
    windows = Tumbling(1_000, 300)
    assert windows.add([column([100, 900, 1_100], [1.0, 2.0, 3.0])], 7, SYNCED) == 0
    assert windows.take_closed() == []
    assert windows.oldest_position == 7
    assert windows.add([column([950, 1_299], [4.0, 5.0])], 8, SYNCED) == 0
    assert windows.take_closed() == []
    assert windows.add([column([1_300], [6.0])], 9, SYNCED) == 0
    (closed,) = windows.take_closed()
    assert (closed.start_ms, closed.rows[A].count, closed.rows[A].last) == (0, 3, 4.0)
    assert windows.closed_until_ms == 1_000
    assert windows.oldest_position == 7
    assert windows.add([column([999, 1_400], [7.0, 8.0])], 10, SYNCED) == 1
    windows.close_all()
    assert spans(windows.take_closed()) == [(1_000, 4)]
    assert windows.oldest_position is None


def test_windows_are_aligned_and_a_source_that_returns_opens_none_twice() -> None:
    windows = Tumbling(1_000, 0, closed_until_ms=5_000)
    assert windows.add([column([4_999, 5_001, 7_500], [1.0, 2.0, 3.0])], 1, SYNCED) == 1
    assert spans(windows.take_closed()) == [(5_000, 1)]
    windows.close_all()
    assert spans(windows.take_closed()) == [(7_000, 1)]


@pytest.mark.parametrize(
    ("kind", "values", "quality", "count"),
    [
        ("f64", [1.0, None, math.nan, math.inf, 2.0], None, 2),
        ("f64", [1.0, 2.0, 3.0, 4.0, 5.0], bytes([0, 1, 2, 3, 4]), 2),
        ("bool", [True, False, True, None, True], None, 4),
        ("u64", [(1 << 64) - 1, 0, 1, 2, 3], None, 5),
    ],
)
def test_only_finite_numbers_of_good_or_uncertain_quality_count(
    kind: str, values: list[Value], quality: bytes | None, count: int
) -> None:
    series = Series("a/x", "", kind)  # type: ignore[arg-type]  # one of the kinds
    windows = Tumbling(1_000, 0)
    windows.add([column([1, 2, 3, 4, 5], values, quality, series)], 1, SYNCED)
    windows.close_all()
    assert spans(windows.take_closed()) == [(0, count)]


def test_text_has_no_windows() -> None:
    windows = Tumbling(1_000, 0)
    windows.add([column([1], ["on"], None, Series("a/x", "", "text"))], 1, SYNCED)
    windows.close_all()
    assert windows.take_closed() == []


@given(st.lists(st.lists(st.integers(0, 20_000), min_size=1, max_size=6), max_size=12), st.integers(0, 3_000))
def test_every_sample_is_in_one_window_or_late(batches: list[list[int]], lateness_ms: int) -> None:
    windows = Tumbling(1_000, lateness_ms)
    counted: dict[int, int] = defaultdict(int)
    closed_until, late = -1, 0
    for position, times in enumerate(batches):
        for t in times:
            if t // 1_000 * 1_000 < closed_until:
                late += 1
            else:
                counted[t // 1_000 * 1_000] += 1
        closed_until = max(closed_until, (max(times) - lateness_ms) // 1_000 * 1_000)
        late -= windows.add([column(times, [float(t) for t in times])], position, SYNCED)
    windows.close_all()
    assert late == 0
    assert dict(spans(windows.take_closed())) == counted
