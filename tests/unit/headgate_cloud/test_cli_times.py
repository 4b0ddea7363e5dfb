"""Times and sizes as people write and read them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate_cloud.cli import times

NOW_MS = 1_763_685_600_000


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("30", 30),
        ("250ms", 0.25),
        ("5m", 300),
        ("5min", 300),
        ("1.5h", 5400),
        ("7d", 604_800),
        ("1w", 604_800),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert times.duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "m", "-5s", "5y", "1h30m", "1e3"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ValueError, match="is no duration"):
        times.duration_s(text)


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("now", NOW_MS),
        ("-90s", NOW_MS - 90_000),
        ("1763685600001", 1_763_685_600_001),
        ("2025-11-21T00:40:00Z", NOW_MS),
        ("2025-11-21T01:40:00.250+01:00", NOW_MS + 250),
    ],
)
def test_instants(text: str, ms: int) -> None:
    assert times.instant_ms(text, NOW_MS) == ms


@pytest.mark.parametrize(
    ("ms", "text"),
    [
        (0, "0.0 s"),
        (340, "0.3 s"),
        (42_000, "42 s"),
        (300_000, "5 min"),
        (10_800_000, "3 h"),
        (1_036_800_000, "12 d"),
        (-2_000, "in 2.0 s"),
    ],
)
def test_ages(ms: int, text: str) -> None:
    assert times.age(ms) == text


@given(st.integers(-(10**12), 10**12))
def test_every_age_has_a_unit(ms: int) -> None:
    assert times.age(ms).endswith((" s", " min", " h", " d"))


@pytest.mark.parametrize(
    ("size_bytes", "text"), [(0, "0 B"), (1023, "1023 B"), (33_554_432, "32.0 MiB"), (2**40 * 3, "3.0 TiB")]
)
def test_sizes(size_bytes: int, text: str) -> None:
    assert times.size(size_bytes) == text
