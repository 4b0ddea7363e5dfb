from __future__ import annotations

import math
from collections.abc import Sequence

import pytest

from headgate.columns import MAX_TEXT_BYTES, Columns, Rows, from_batch, merged, sliced
from headgate.errors import Reject
from headgate.model import Batch, ClockState, Frame, Kind, Quality, Series, Value


def a_batch(*frames: Frame, offset_ms: int = 1_000_000) -> Batch:
    return Batch("modbus", 1, 1, 1, b"", "", offset_ms, ClockState.SYNCED, 0, frames)


def test_frames_of_one_shape_share_a_time_column() -> None:
    table = [Series("a/x"), Series("a/y"), Series("a/z")]
    frames = [
        Frame(1, (0, 2), (1.0, 2.0)),
        Frame(2, (1,), (3.0,), (Quality.STALE,)),
        Frame(3, (0, 2), (4.0, None), (0, Quality.BAD_COMM)),
    ]
    (first, second), unfit = from_batch(a_batch(*frames), table)
    assert unfit == 0
    assert first.series == (table[0], table[2])
    assert first.times_ms == [1_000_001, 1_000_003]
    assert [list(v) for v in first.values] == [[1.0, 4.0], [2.0, None]]
    assert first.quality == [None, bytes([0, 3])]
    assert (second.series, second.quality, len(second)) == ((table[1],), [bytes([2])], 1)


@pytest.mark.parametrize(
    ("kind", "values", "expected"),
    [
        ("f64", [1, 2.5, True, 10**400, "x"], [1.0, 2.5, 1.0, None, None]),
        ("f64", [(1 << 53) + 1], [None]),
        ("i64", [1, 1 << 63, -(1 << 63), 1.5], [1, None, -(1 << 63), None]),
        ("u64", [0, -1, (1 << 64) - 1, "1"], [0, None, (1 << 64) - 1, None]),
        ("bool", [0, 1, True, 2, "1"], [False, True, True, None, None]),
        ("text", ["a", 1, "\ud800", "x" * MAX_TEXT_BYTES], ["a", None, None, None]),
    ],
)
def test_values_fit_their_kind_or_are_bad(kind: Kind, values: Sequence[Value], expected: list[Value]) -> None:
    frames = [Frame(i, (0,), (value,)) for i, value in enumerate(values)]
    (columns,), unfit = from_batch(a_batch(*frames), [Series("a/x", "", kind)])
    assert list(columns.values[0]) == expected
    assert list(map(type, columns.values[0])) == list(map(type, expected))
    bad = [i for i, value in enumerate(expected) if value is None]
    assert unfit == len(bad)
    quality = columns.quality[0] or bytes(len(values))
    assert [i for i, code in enumerate(quality) if code == Quality.BAD_VALUE] == bad


def test_values_that_are_no_numbers_stay_what_they_are() -> None:
    (columns,), unfit = from_batch(a_batch(Frame(0, (0,), (math.nan,))), [Series("a/x")])
    assert unfit == 0
    assert isinstance(columns.values[0][0], float)


def test_what_no_table_or_calendar_has_is_refused() -> None:
    with pytest.raises(Reject, match="series 1 of a dictionary of 1"):
        from_batch(a_batch(Frame(0, (1,), (1.0,))), [Series("a/x")])
    with pytest.raises(Reject, match=r"outside 1970\.\.2100"):
        from_batch(a_batch(Frame(0, (0,), (1.0,)), offset_ms=-1), [Series("a/x")])


def test_columns_of_one_shape_become_one() -> None:
    table = [Series("a/x"), Series("a/y")]
    groups = []
    for i in range(3):
        frame = Frame(i, (0, 1), (float(i), None), (0, i))
        groups += from_batch(a_batch(frame), table)[0]
    (whole,) = merged(groups)
    assert [list(v) for v in whole.values] == [[0.0, 1.0, 2.0], [None, None, None]]
    assert whole.quality == [None, bytes([0, 1, 2])]


NUMBERS = [Series("a/x"), Series("a/y", "", "i64"), Series("a/z", "", "u64")]


def of_numbers(*rows: tuple[Value, ...]) -> Columns:
    frames = [Frame(i, (0, 1, 2), row) for i, row in enumerate(rows)]
    (columns,), _ = from_batch(a_batch(*frames), NUMBERS)
    return columns


def test_numbers_that_fit_stay_rows_and_read_as_columns() -> None:
    rows = [(1.5, -1, 0), (-0.0, -(1 << 63), (1 << 64) - 1), (math.inf, (1 << 63) - 1, 7)]
    columns = of_numbers(*rows)
    assert isinstance(columns.values, Rows)
    assert len(columns.values) == 3
    assert [list(map(repr, column)) for column in columns.values] == [
        list(map(repr, column)) for column in zip(*rows, strict=True)
    ]


@pytest.mark.parametrize("odd", [(None, 1, 1), (1, 1, 1), (1.0, True, 1), (1.0, 1 << 63, 1), (1.0, 1, -1)])
def test_one_value_that_does_not_fit_as_it_is_makes_columns(odd: tuple[Value, ...]) -> None:
    assert not isinstance(of_numbers((1.0, 1, 1), odd).values, Rows)


def test_rows_joined_and_sliced_are_what_the_columns_are() -> None:
    rows: list[tuple[Value, ...]] = [(0.5, 1, 2), (1.5, 2, 3), (2.5, 3, 4)]
    whole = of_numbers(*rows, (3.5, None, 5))
    joined = merged([of_numbers(*rows[:1]), of_numbers(*rows[1:])])[0]
    assert isinstance(joined.values, Rows)
    assert [list(v) for v in joined.values] == [list(v) for v in sliced(whole, 0, 3).values]
    part = sliced(joined, 1, 3)
    assert isinstance(part.values, Rows)
    assert [list(v) for v in part.values] == [[1.5, 2.5], [2, 3], [3, 4]]
    mixed = merged([joined, whole])[0]
    assert list(mixed.values[1]) == [1, 2, 3, 1, 2, 3, None]
