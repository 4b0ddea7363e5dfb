from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.columns import Columns
from headgate.errors import Fatal, Reject
from headgate.model import Kind, Series, Value
from headgate.store import pack, planes, scale
from headgate.store.arrays import Line, Shape, Stretch, from_columns
from headgate.store.blocks import Blocks
from headgate.store.day_file import DAY_MS
from headgate.store.head import Snapshot, Unsealed
from headgate.store.query import lines, query

GOLDEN = Path(__file__).parents[3] / "golden/store"
A, B = Series("a/x", "V", "f64", 1), Series("a/y", "", "text")
SHAPE = Shape((A, B))
IDS = {A: 1, B: 2}
KINDS: dict[Kind, st.SearchStrategy[Value]] = {
    "f64": st.one_of(st.none(), st.floats(), st.decimals(-1000, 1000, places=2).map(float)),
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


def stretch(columns: Columns) -> Stretch:
    return from_columns([columns], Shape(columns.series))


def rows_of(lines: list[Line]) -> dict[Series, list[tuple[int, str, int]]]:
    """By series; values as text, which tells -0.0, NaN, 1, 1.0 and True apart."""
    return {
        line.series: list(
            zip(line.times_ms.tolist(), map(repr, line.value_list()), line.quality_list(), strict=True)
        )
        for line in lines
    }


def rows_in(columns: Columns) -> dict[Series, list[tuple[int, str, int]]]:
    good = bytes(len(columns.times_ms))
    return {
        series: list(zip(columns.times_ms, map(repr, values), quality or good, strict=True))
        for series, values, quality in zip(columns.series, columns.values, columns.quality, strict=True)
    }


@given(a_block())
def test_a_block_comes_back_exactly(columns: Columns) -> None:
    places = dict(enumerate(columns.series))
    data = pack.encode(stretch(columns))
    assert rows_of(pack.decode(data, len(places), places)) == rows_in(columns)
    last = len(places) - 1
    (line,) = pack.decode(data, len(places), {last: places[last]})
    assert rows_of([line])[line.series] == rows_in(columns)[places[last]]


@given(st.lists(a_block(), min_size=1, max_size=4))
def test_stretches_joined_are_one_after_the_other(blocks: list[Columns]) -> None:
    shape = Shape((A, B))
    parts = []
    for columns in blocks:
        n = len(columns.times_ms)
        values: list[list[Value]] = [
            [float(t) if t % 3 else None for t in columns.times_ms],
            [str(t) for t in columns.times_ms],
        ]
        parts.append(Columns(shape.series, columns.times_ms, values, [columns.quality[0], bytes(n)]))
    whole = list(from_columns(parts, shape).lines())
    expected: dict[Series, list[tuple[int, str, int]]] = {A: [], B: []}
    for part in parts:
        for series, rows in rows_in(part).items():
            expected[series] += rows
    assert rows_of(whole) == expected


@given(st.lists(st.integers(0, (1 << 64) - 1), min_size=1, max_size=50))
def test_integers_come_back_modulo_two_to_the_64(numbers: list[int]) -> None:
    out = bytearray()
    planes.write_integers(out, planes.plan(np.array([numbers], np.uint64)), 0, planes.Effort())
    reader = planes.Reader(bytes(out))
    assert planes.read_integers(reader, len(numbers)).tolist() == numbers
    reader.end()


@given(st.lists(st.floats(), min_size=1, max_size=40), st.integers(0, 15))
def test_doubles_are_scaled_only_where_their_bits_come_back(values: list[float], decimals: int) -> None:
    row = np.array([values])
    numbers, exact = scale.scaled_rows(row, [decimals])
    if exact[0]:
        assert scale.unscaled(numbers, scale.POWERS[decimals]).tobytes() == row.tobytes()
    short = np.array([[round(value % 1e6, decimals) if abs(value) < 1e300 else 0.5 for value in values]])
    assert scale.scaled_rows(short, [max(decimals, 1)])[1][0] or decimals > 9


@given(st.binary(max_size=60), st.integers(1, 2))
def test_a_damaged_block_is_refused(noise: bytes, version: int) -> None:
    with pytest.raises(Reject):
        pack.decode(bytes([version]) + noise, 1, {0: A})


def test_a_block_with_any_byte_changed_is_refused() -> None:
    data = pack.encode(stretch(rows(0)))
    for at in range(len(data)):
        with pytest.raises(Reject):
            pack.decode(data[:at] + bytes([data[at] ^ 0x40]) + data[at + 1 :], 2, {0: A, 1: B})


@pytest.mark.parametrize("version", [1, 2])
def test_day_files_of_each_version_are_read(version: int, tmp_path: Path) -> None:
    source = GOLDEN / f"v{version}"
    expected = {
        Series(*row["series"]): [(t, repr(value), code) for t, value, code in row["rows"]]
        for row in json.loads((source / "blocks.json").read_text())
    }
    names = [series.name for series in expected]
    shutil.copy(source / "20251121.db", tmp_path)
    found = list(lines(tmp_path, Snapshot((), 1 << 60), names, 0, 1 << 45))
    assert rows_of(found) == expected
    blocks = Blocks(tmp_path, {series: i + 1 for i, series in enumerate(expected)})
    assert blocks.through(20_413) == 300
    blocks.close()
    assert rows_of(list(lines(tmp_path, Snapshot((), 1 << 60), names, 0, 1 << 45))) == expected


def rows(t_ms: int, count: int = 3) -> Columns:
    times = [t_ms + i for i in range(count)]
    return Columns(
        (A, B), times, [[float(i) for i in range(count)], ["t"] * count], [None, bytes(count - 1) + b"\x01"]
    )


def unsealed(position: int, columns: Columns) -> Unsealed:
    return Unsealed(position, from_columns([columns], SHAPE))


def read(
    blocks: Blocks, waiting: list[Unsealed], low: int, high: int, *, newest_first: bool = False
) -> list[int]:
    snapshot = Snapshot(tuple(waiting), 1 << 60)
    found = query(blocks.folder, snapshot, ["a/x"], low, high, newest_first=newest_first)
    return [t for column in found for t in column.times_ms]


def test_writing_again_after_a_crash_adds_nothing_twice(tmp_path: Path) -> None:
    blocks = Blocks(tmp_path, IDS)
    midnight = 20_000 * DAY_MS
    first = [unsealed(100, rows(midnight - 2)), unsealed(200, rows(midnight + 10))]
    blocks.write(first, 300)
    blocks.write([*first, unsealed(300, rows(midnight + 20))], 400)
    blocks.write([], 400)
    blocks.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["20241003.db", "20241004.db"]
    assert read(blocks, [], 0, 1 << 45) == [midnight + t for t in (-2, -1, 0, 10, 11, 12, 20, 21, 22)]


def test_ranges_from_blocks_and_memory_in_both_directions(tmp_path: Path) -> None:
    blocks = Blocks(tmp_path, IDS)
    blocks.write([unsealed(1, rows(5_000)), unsealed(2, rows(DAY_MS + 5))], 3)
    waiting = [unsealed(3, rows(5_010)), unsealed(4, rows(2 * DAY_MS))]
    everything = [5_000, 5_001, 5_002, 5_010, 5_011, 5_012, DAY_MS + 5, DAY_MS + 6, DAY_MS + 7]
    everything += [2 * DAY_MS, 2 * DAY_MS + 1, 2 * DAY_MS + 2]
    assert read(blocks, waiting, 0, 1 << 45) == everything
    assert read(blocks, waiting, 0, 1 << 45, newest_first=True) == everything[::-1]
    assert read(blocks, waiting, 5_001, 5_011) == [5_001, 5_002, 5_010]
    assert list(query(tmp_path, Snapshot(tuple(waiting), 9), ["no/such"], 0, 1 << 45)) == []


def test_what_a_crash_left_beside_a_day_file_is_settled(tmp_path: Path) -> None:
    """A hot rollback journal: SQLite wants to write before anybody reads."""
    blocks = Blocks(tmp_path / "one", IDS)
    blocks.write([unsealed(1, rows(0))], 2)
    blocks.close()
    day = tmp_path / "one/19700101.db"
    db = sqlite3.connect(day, isolation_level=None)
    db.execute("PRAGMA cache_size=1")
    db.execute("BEGIN IMMEDIATE")
    db.execute("DELETE FROM blocks")
    db.execute("INSERT INTO meta VALUES('filler', zeroblob(200000))")
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    db.close()
    assert (tmp_path / "two/19700101.db-journal").exists()
    assert read(Blocks(tmp_path / "two", IDS), [], 0, 1 << 45) == [0, 1, 2]
    assert [path.name for path in (tmp_path / "two").iterdir()] == ["19700101.db"]


def test_a_day_file_names_its_series_itself(tmp_path: Path) -> None:
    blocks = Blocks(tmp_path, IDS)
    blocks.write([unsealed(1, rows(0))], 2)
    blocks.close()
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
        Blocks(tmp_path, IDS).write([unsealed(1, rows(0))], 2)
