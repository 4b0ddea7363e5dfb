"""Queries against a naive model: a list of rows, sealed now and then, across days."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.columns import Columns
from headgate.config.stateroot import StateRoot
from headgate.model import Series, Value
from headgate.store import query as query_module
from headgate.store.day_file import DAY_MS
from headgate.store.store import Store

SERIES = (
    Series("a/x", "V", "f64", 1),
    Series("a/n", "", "i64"),
    Series("b/s", "", "text"),
    Series("b/x", "V", "f64"),
    Series("b/x", "V", "f64", revision=2),
)
SHAPES = ((0, 1), (2,), (0, 3), (4, 2))
VALUES: list[st.SearchStrategy[Value]] = [
    st.one_of(st.none(), st.integers(-99, 99).map(lambda n: n / 10)),
    st.one_of(st.none(), st.integers(-5, 5)),
    st.sampled_from([None, "open", "shut"]),
    st.floats(allow_infinity=False),
    st.floats(-1, 1),
]
MIDNIGHT = 20_413 * DAY_MS
TIMES = st.integers(MIDNIGHT - 50, MIDNIGHT + 50) | st.integers(
    MIDNIGHT + DAY_MS - 20, MIDNIGHT + DAY_MS + 20
)
Row = tuple[int, Value, int]


@st.composite
def a_group(draw: st.DrawFn) -> Columns:
    shape = draw(st.sampled_from(SHAPES))
    times = draw(st.lists(TIMES, min_size=1, max_size=4))
    n = len(times)
    values = [draw(st.lists(VALUES[i], min_size=n, max_size=n)) for i in shape]
    codes = [draw(st.one_of(st.none(), st.lists(st.integers(1, 5), min_size=n, max_size=n))) for _ in shape]
    return Columns(
        tuple(SERIES[i] for i in shape), times, values, [None if c is None else bytes(c) for c in codes]
    )


History = list[Columns | str]
HISTORIES = st.lists(st.one_of(a_group(), a_group(), st.sampled_from(["seal", "reopen"])), max_size=14)


@contextmanager
def filled(folder: Path, history: History) -> Iterator[Store]:
    """A store through which all of it went, in this order; what is not sealed is lost when it is reopened."""
    store = Store(StateRoot(folder), "gw", 1)
    position = 0
    for item in history:
        if isinstance(item, Columns):
            position = store.journal.end + position + 1
            store.keep(position, item)
            continue
        with store.begin() as tx:
            tx.consumed(packed=0, replay=0, window_length_ms=1)
        store.seal_blocks(position + 1)
        if item == "reopen":
            store.close()
            store = Store(StateRoot(folder), "gw", 1)
    yield store
    store.close()


def naive(history: History, names: set[str], low: int, high: int, *, back: bool) -> dict[Series, list[Row]]:
    found: dict[Series, list[Row]] = {}
    for item in history:
        if isinstance(item, Columns):
            for series, values, codes in zip(item.series, item.values, item.quality, strict=True):
                rows = list(zip(item.times_ms, values, codes or bytes(len(values)), strict=True))
                if series.name in names:
                    found.setdefault(series, []).extend(row for row in rows if low <= row[0] < high)
    for rows in found.values():
        rows.sort(key=lambda row: row[0], reverse=back)
    return {series: rows for series, rows in found.items() if rows}


@given(
    HISTORIES, st.sets(st.sampled_from(["a/x", "a/n", "b/s", "b/x", "no/such"])), TIMES, TIMES, st.booleans()
)
def test_ranges_are_those_of_a_list(
    tmp_path_factory: pytest.TempPathFactory,
    history: History,
    names: set[str],
    low: int,
    high: int,
    back: bool,
) -> None:
    with filled(tmp_path_factory.mktemp("store"), history) as store:
        found: dict[Series, list[Row]] = {}
        for column in store.query(names, low, high, newest_first=back):
            rows = zip(column.times_ms, column.values, column.quality, strict=True)
            found.setdefault(column.series, []).extend(rows)
        assert repr(sorted_(found)) == repr(sorted_(naive(history, names, low, high, back=back)))


@given(HISTORIES, st.integers(1, 60), st.booleans())
def test_buckets_are_those_of_a_list(
    tmp_path_factory: pytest.TempPathFactory, history: History, step: int, back: bool
) -> None:
    names = {series.name for series in SERIES}
    expected: dict[Series, list[tuple[object, ...]]] = {}
    for series, rows in naive(history, names, 0, 1 << 45, back=False).items():
        filled_ = [row for row in rows if row[1] is not None and row[1] == row[1]]
        buckets: dict[int, list[Value]] = {}
        for t, value, _ in filled_:
            buckets.setdefault(t // step * step, []).append(value)
        if buckets:
            expected[series] = [(start, *summary(values)) for start, values in buckets.items()]
            if back:
                expected[series].reverse()
    with filled(tmp_path_factory.mktemp("store"), history) as store:
        found: dict[Series, list[tuple[object, ...]]] = {}
        for series, some in store.downsampled(names, 0, 1 << 45, step, newest_first=back):
            rounded = [(b.start_ms, b.count, b.low, b.high, close(b.mean), b.first, b.last) for b in some]
            found.setdefault(series, []).extend(rounded)
        assert sorted_(found) == sorted_(expected)


def summary(values: list[Value]) -> tuple[object, ...]:
    if isinstance(values[0], str):
        return len(values), None, None, None, values[0], values[-1]
    numbers = [float(value) for value in values if value is not None]
    mean = math.fsum(number / len(numbers) for number in numbers)
    return len(values), min(values), max(values), close(mean), values[0], values[-1]  # type: ignore[type-var]  # numbers


def close(mean: float | None) -> str | None:
    return None if mean is None else f"{mean:.6g}" if abs(mean) > 1e-9 else "0"


@given(HISTORIES)
def test_the_newest_is_the_newest(tmp_path_factory: pytest.TempPathFactory, history: History) -> None:
    names = {series.name for series in SERIES}
    newest: dict[str, int] = {}
    for series, rows in naive(history, names, 0, 1 << 45, back=False).items():
        newest[series.name] = max(newest.get(series.name, 0), rows[-1][0])
    with filled(tmp_path_factory.mktemp("store"), history) as store:
        found = store.newest(names)
        assert {name: row[1] for name, row in found.items()} == newest


def sorted_(
    found: dict[Series, list[object]] | dict[Series, list[Row]] | dict[Series, list[tuple[object, ...]]],
) -> object:
    return sorted(found.items(), key=lambda item: (item[0].name, item[0].revision))


def test_a_long_range_comes_in_slices_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query_module, "SLICE_SAMPLES", 500)
    history: History = []
    for block in range(12):
        start = MIDNIGHT + block * 1_000
        times = range(start, start + 1_000, 5)
        history += [Columns(SERIES[:1], list(times), [[float(t % 7) for t in times]], [None]), "seal"]
    with filled(tmp_path, history) as store:
        columns = list(store.query(["a/x"], 0, 1 << 45))
        assert 4 <= len(columns) <= 12
        stamps = [t for column in columns for t in column.times_ms]
        assert stamps == sorted(stamps)
        assert len(stamps) == 2_400
        back = [t for column in store.query(["a/x"], 0, 1 << 45, newest_first=True) for t in column.times_ms]
        assert back == stamps[::-1]


def test_a_query_under_way_sees_neither_less_nor_twice_when_a_seal_comes_in_between(tmp_path: Path) -> None:
    history: History = [
        Columns(SERIES[:1], [MIDNIGHT + day * DAY_MS + i], [[float(i)]], [None])
        for day in range(3)
        for i in range(5)
    ]
    with filled(tmp_path, history) as store:
        with store.begin() as tx:
            tx.consumed(packed=0, replay=0, window_length_ms=1)
        under_way = store.query(["a/x"], 0, 1 << 45)
        first = next(under_way)
        store.seal_blocks(store.journal.end + 1_000)
        stamps = [*first.times_ms, *(t for column in under_way for t in column.times_ms)]
        assert stamps == [MIDNIGHT + day * DAY_MS + i for day in range(3) for i in range(5)]
        assert [t for column in store.query(["a/x"], 0, 1 << 45) for t in column.times_ms] == stamps
