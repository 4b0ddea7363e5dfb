"""Envelopes of codec json become columns, rows and reports; anything else is refused in words."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_sim.checker.arrived import Column, DecodeError, Reading, decode, double_bits, double_of

GOLDEN = Path(__file__).parents[3] / "golden" / "envelope"
HEAD = {"v": 1, "stream": "live", "epoch": "8c0f3a5b77d01e42", "seq": 1, "prev": None, "clock": "synced"}


def body(kind: str, **rest: object) -> bytes:
    return json.dumps({**HEAD, "kind": kind, **rest}).encode()


def samples(column: dict[str, Any], times: list[list[int]] | None = None) -> Column:
    base = {"u": "V", "k": "f64", "d": 1, "r": 1, "t": 0}
    envelope = body("samples", times=times or [[1000, 100, 100]], columns={"m/v": {**base, **column}})
    (decoded,) = decode(envelope).columns
    return decoded


def test_the_example_of_the_contract() -> None:
    column = samples({"v": [2301, 2, 1], "q": [[2, 0], [1, 1]]})
    assert list(column.readings()) == [
        Reading("m/v", 1000, 2301, 0, "V", 1),
        Reading("m/v", 1100, 2303, 0, "V", 1),
        Reading("m/v", 1200, 2304, 1, "V", 1),
    ]


def test_the_golden_envelopes() -> None:
    golden = {path.stem: decode(path.read_bytes()) for path in sorted(GOLDEN.glob("*.json"))}
    (voltage,) = golden["samples"].columns
    assert (voltage.times, voltage.raws) == (
        [1763685600000, 1763685600100, 1763685600200],
        [2301, 2303, 2304],
    )
    assert [(row.n, row.min, row.last) for row in golden["windows"].windows] == [(100, 229.8, 230.4)]
    assert golden["report"].report is not None
    assert golden["report"].report["count"] == 600
    kinds = {column.series: column for column in golden["kinds"].columns}
    assert kinds["m/i"].raws == [-(2**63), 2**63 - 1, 2**63 - 1]
    assert kinds["m/u"].raws == [None, 2**64 - 1, None]
    assert (kinds["m/scaled"].decimals, kinds["m/scaled"].raws) == (3, [9007199254740993])
    assert kinds["m/f"].raws == double_bits([math.nan, 1e-300, -math.inf])
    assert kinds["m/b"].raws == [0, None, 1]
    assert kinds["m/t"].raws == ["Ü ☃ \0"]
    assert list(kinds["m/none"].readings()) == [Reading("m/none", 1763685600000, None, 4, "V", 1)]


def test_null_keeps_its_place_and_differences_go_on() -> None:
    assert samples({"v": [5, None, 2]}).raws == [5, None, 7]
    assert samples({"v": [None, 5, 2]}).raws == [None, 5, 7]


def test_doubles_are_compared_by_their_bits() -> None:
    column = samples({"k": "f64", "d": None, "v": [1.5, "NaN", None]})
    assert (column.decimals, column.raws) == (None, double_bits([1.5, math.nan, None]))
    assert samples({"d": None, "v": [0, "Infinity", "-Infinity"]}).raws == double_bits(
        [0.0, math.inf, -math.inf]
    )
    assert double_bits([0.0]) != double_bits([-0.0])


def test_integers_have_no_decimals() -> None:
    assert samples({"k": "u64", "d": None, "v": [7, 1, 1]}).decimals == 0


def test_times_may_go_back() -> None:
    assert samples({"v": [1, 1, 1]}, [[1000, -100, 300]]).times == [1000, 900, 1200]


def test_windows_and_reports() -> None:
    row = {
        "u": "V",
        "d": 1,
        "r": 1,
        "n": 3,
        "min": 1.0,
        "max": 3,
        "mean": 2.0,
        "std": "NaN",
        "first": 1.0,
        "last": 3,
    }
    rows = decode(body("windows", windows=[{"start": 10, "length_ms": 10, "rows": {"m/v": row}}])).windows
    assert [(r.series, r.start_ms, r.length_ms, r.n, r.max) for r in rows] == [("m/v", 10, 10, 3, 3.0)]
    assert rows[0].std is not None
    assert math.isnan(rows[0].std)
    report = {"type": "dropped", "count": 3}
    assert decode(body("report", report=report)).report == report


@given(st.lists(st.integers(-(2**63), 2**64)), st.integers(-(2**40), 2**40))
def test_any_integers_survive_their_differences(values: list[int], start: int) -> None:
    deltas = [b - a for a, b in zip([0, *values], values, strict=False)]
    times = [[start] + [100] * (len(values) - 1)] if values else [[]]
    envelope = body(
        "samples", times=times, columns={"m/v": {"u": "", "k": "i64", "d": None, "t": 0, "v": deltas}}
    )
    assert decode(envelope).columns[0].raws == values


@given(st.floats(width=32, allow_nan=False))
def test_any_float32_survives(value: float) -> None:
    (bits,) = double_bits([value])
    assert isinstance(bits, int)
    assert struct.pack(">d", double_of(bits)) == struct.pack(">d", value)


@pytest.mark.parametrize(
    ("envelope", "words"),
    [
        (b"\xff", "not an envelope"),
        (b"[]", "not an envelope"),
        (b'{"v": 3}', "version 3"),
        (body("songs"), "kind 'songs'"),
        (body("samples", times=[]), "columns"),
        (
            body("samples", times=[], columns={"m/v": {"u": "", "k": "f64", "d": 1, "t": 0, "v": []}}),
            "IndexError",
        ),
    ],
)
def test_what_is_no_envelope_is_refused(envelope: bytes, words: str) -> None:
    with pytest.raises(DecodeError, match=words):
        decode(envelope)


@pytest.mark.parametrize(
    ("column", "words"),
    [
        ({"v": [1]}, "1 values for 3 times"),
        ({"v": [1, 1, 1], "q": [[2, 0]]}, "2 qualities for 3 values"),
        ({"v": [1, 1.5, 1]}, "a difference is not an integer"),
        ({"k": "f32", "v": [1, 1, 1]}, "kind 'f32'"),
    ],
)
def test_a_crooked_column_is_named(column: dict[str, Any], words: str) -> None:
    with pytest.raises(DecodeError, match=words):
        samples(column)
