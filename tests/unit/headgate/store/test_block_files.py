from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.columns import Columns
from headgate.errors import Fatal, Reject
from headgate.model import Kind, Series, Value
from headgate.store import pack
from headgate.store.blocks import DAY_MS, Blocks, Unsealed
from headgate.store.query import query

A, B = Series("a/x", "V", "f64", 1), Series("a/y", "", "text")
IDS = {A: 1, B: 2}
KINDS: dict[Kind, st.SearchStrategy[Value]] = {
    "f64": st.one_of(st.none(), st.floats(allow_nan=False)),
    "i64": st.one_of(st.none(), st.integers(-(1 << 63), (1 << 63) - 1)),
    "u64": st.one_of(st.none(), st.integers(0, (1 << 64) - 1)),
    "bool": st.one_of(st.none(), st.booleans()),
    "text": st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]))),
}


@st.composite
def a_block(draw: st.DrawFn) -> Columns:
    kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=5))
    rows = draw(st.integers(1, 20))
    codes = st.lists(st.integers(0, 5), min_size=rows, max_size=rows).map(bytes)
    return Columns(
        tuple(Series(f"a/{i}", "", kind) for i, kind in enumerate(kinds)),
        draw(st.lists(st.integers(0, 1 << 42), min_size=rows, max_size=rows)),
        [draw(st.lists(KINDS[kind], min_size=rows, max_size=rows)) for kind in kinds],
        [draw(st.one_of(st.none(), codes)) for _ in kinds],
    )


@given(a_block())
def test_a_block_comes_back_exactly(columns: Columns) -> None:
    found = pack.decode(pack.encode(columns), columns.series)
    assert list(found.times_ms) == list(columns.times_ms)
    assert [list(v) for v in found.values] == [list(v) for v in columns.values]
    assert [list(map(type, v)) for v in found.values] == [list(map(type, v)) for v in columns.values]
    assert list(found.quality) == list(columns.quality)


@given(st.binary(max_size=60))
def test_a_damaged_block_is_refused(noise: bytes) -> None:
    with pytest.raises(Reject):
        pack.decode(b"\x01" + noise, (A,))


def rows(t_ms: int, count: int = 3) -> Columns:
    times = [t_ms + i for i in range(count)]
    return Columns(
        (A, B), times, [[float(i) for i in range(count)], ["t"] * count], [None, bytes(count - 1) + b"\x01"]
    )


def read(
    blocks: Blocks, unsealed: list[Unsealed], low: int, high: int, *, newest_first: bool = False
) -> list[int]:
    found = query(blocks, unsealed, ["a/x"], low, high, newest_first=newest_first)
    return [t for column in found for t in column.times_ms]


def test_writing_again_after_a_crash_adds_nothing_twice(tmp_path: Path) -> None:
    blocks = Blocks(tmp_path, IDS)
    midnight = 20_000 * DAY_MS
    first = [Unsealed(100, rows(midnight - 2)), Unsealed(200, rows(midnight + 10))]
    blocks.write(first, 300)
    blocks.write([*first, Unsealed(300, rows(midnight + 20))], 400)
    blocks.write([], 400)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["20241003.db", "20241004.db"]
    assert read(blocks, [], 0, 1 << 45) == [midnight + t for t in (-2, -1, 0, 10, 11, 12, 20, 21, 22)]


def test_ranges_from_blocks_and_memory_in_both_directions(tmp_path: Path) -> None:
    blocks = Blocks(tmp_path, IDS)
    blocks.write([Unsealed(1, rows(5_000)), Unsealed(2, rows(DAY_MS + 5))], 3)
    unsealed = [Unsealed(3, rows(5_010)), Unsealed(4, rows(2 * DAY_MS))]
    everything = [5_000, 5_001, 5_002, 5_010, 5_011, 5_012, DAY_MS + 5, DAY_MS + 6, DAY_MS + 7]
    everything += [2 * DAY_MS, 2 * DAY_MS + 1, 2 * DAY_MS + 2]
    assert read(blocks, unsealed, 0, 1 << 45) == everything
    assert read(blocks, unsealed, 0, 1 << 45, newest_first=True) == everything[::-1]
    assert read(blocks, unsealed, 5_001, 5_011) == [5_001, 5_002, 5_010]
    assert list(query(blocks, unsealed, ["no/such"], 0, 1 << 45)) == []


def test_a_day_file_names_its_series_itself(tmp_path: Path) -> None:
    Blocks(tmp_path, IDS).write([Unsealed(1, rows(0))], 2)
    db = sqlite3.connect(tmp_path / "19700101.db")
    assert db.execute("SELECT id, name, unit, kind, decimals FROM series ORDER BY id").fetchall() == [
        (1, "a/x", "V", "f64", 1),
        (2, "a/y", "", "text", None),
    ]
    db.close()


def test_a_file_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "19700101.db")
    db.execute("PRAGMA user_version=9")
    db.close()
    with pytest.raises(Fatal, match=r"19700101\.db is of version 9"):
        Blocks(tmp_path, IDS).write([Unsealed(1, rows(0))], 2)
