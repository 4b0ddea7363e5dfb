from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.window.part import ABSENT, Block
from headgate.window.quantiles import MAX_ROWS, merged, sketch_of

WANTED = (0.0, 0.25, 0.5, 0.99, 1.0)


def block(rows: list[list[float]], codes: list[list[int]] | None = None) -> Block:
    quality = None if codes is None else np.array(codes, np.uint8)
    return Block(np.arange(len(rows)), np.array(rows, np.float64), quality)


@given(
    st.lists(st.tuples(st.floats(-1e6, 1e6), st.sampled_from([0, 0, 1, 3, ABSENT])), min_size=1, max_size=80),
    st.integers(1, 79),
)
def test_small_windows_are_exact(samples: list[tuple[float, int]], cut: int) -> None:
    whole = block([[value, 7.0] for value, _ in samples], [[code, 0] for _, code in samples])
    parts = [whole.rows(slice(0, cut)), whole.rows(slice(cut, None))]
    found = merged(sketch_of(part) for part in parts if len(part)).quantiles(WANTED, 2)
    values = [value for value, code in samples if code <= 1]
    assert found[:, 1].tolist() == [7.0] * len(WANTED)
    if not values:
        assert np.isnan(found[:, 0]).all()
        return
    expected = np.quantile(values, WANTED)
    assert found[:, 0] == pytest.approx(expected, rel=1e-12, abs=1e-9)


def test_large_windows_stay_small_and_close_in_rank() -> None:
    rng = np.random.default_rng(1)
    values = rng.permutation(100_000).astype(float)
    sketch = merged([])
    for start in range(0, len(values), 500):
        part = sketch_of(block([[value] for value in values[start : start + 500]]))
        sketch = merged([sketch, part])
        assert sketch.size_bytes <= 8 * (MAX_ROWS + 500)
    found = sketch.quantiles(WANTED, 1)[:, 0] / len(values)
    assert found == pytest.approx(np.array(WANTED), abs=0.01)


def test_no_sample_gives_no_percentile() -> None:
    assert all(math.isnan(value) for value in merged([]).quantiles((0.5,), 1)[:, 0])
