"""The cloud's envelope decoder against the golden envelopes, and what it refuses."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate_cloud.decoder import Context, Envelope, Previous, Undecodable, decode, header

GOLDEN = Path(__file__).parents[2] / "golden" / "envelope"


def golden(name: str) -> bytes:
    return (GOLDEN / f"{name}.json").read_bytes()


def altered(name: str, **changes: object) -> bytes:
    return json.dumps({**json.loads(golden(name)), **changes}).encode()


def columns(found: Envelope) -> dict[str, list[Any]]:
    return {column.series: [sample.value for sample in column.samples()] for column in found.columns}


def test_samples_are_scaled_and_timed() -> None:
    found = decode(golden("samples"))
    (column,) = found.columns
    assert [(s.t_ms, s.value, s.quality) for s in column.samples()] == [
        (1763685600000, 230.1, 0),
        (1763685600100, 230.3, 0),
        (1763685600200, 230.4, 1),
    ]
    assert (column.raw, column.unit, column.revision, column.last) == ((2301, 2303, 2304), "V", 1, 230.4)
    assert found.header.prev == Previous("11f0c2aa90b3d4e5", 991)


def test_every_kind_is_exact() -> None:
    found = columns(decode(golden("kinds")))
    nan, tiny, low = found.pop("m/f")
    assert (math.isnan(nan), tiny, low) == (True, 1e-300, -math.inf)
    assert found == {
        "m/i": [-(2**63), 2**63 - 1, 2**63 - 1],
        "m/u": [None, 2**64 - 1, None],
        "m/scaled": [Decimal("9007199254740.993")],
        "m/b": [False, None, True],
        "m/t": ["Ü ☃ \x00"],
        "m/none": [None],
    }


def test_samples_say_which_event_they_surround() -> None:
    found = decode(golden("context"))
    assert found.context == Context("overheat", "engine/temperature_oil", 1763685600000, 1, 3, True)
    assert columns(found) == {"engine/temperature_oil": [79.9, 81.5]}
    assert decode(golden("samples")).context is None


@pytest.mark.parametrize(
    "change", [{"part": 4}, {"alarm": "a b"}, {"series": "x"}, {"cut": False}, {"t": "now"}, {"more": 1}]
)
def test_a_context_that_is_none_is_refused(change: dict[str, Any]) -> None:
    context = json.loads(golden("context"))["context"] | change
    with pytest.raises(Undecodable, match=r"\$\.context"):
        decode(altered("context", context=context))
    with pytest.raises(Undecodable):
        decode(altered("windows", context=context))


def test_what_a_window_was_asked_for_and_its_correction() -> None:
    (row,) = decode(golden("windows_asked")).windows
    assert (row.start_ms, row.length_ms, row.step_ms, row.correction) == (1763685601000, 10000, 1000, 81920)
    assert (row.max, row.sum) == (2**64 - 1, 2 * (2**64 - 1))
    assert (row.time_mean, row.quality, row.increase, row.rate, row.resets) == (9.25, 0.98, 13, 1.3, 0)
    assert row.percentiles == ((50.0, 9.5), (99.9, 18.0))
    (plain,) = decode(golden("windows")).windows
    assert (plain.step_ms, plain.correction, plain.sum, plain.percentiles) == (10000, 0, None, ())


def test_windows_and_report() -> None:
    (row,) = decode(golden("windows")).windows
    assert (row.series, row.start_ms, row.length_ms, row.n) == (
        "meter-a/voltage_l1",
        1763685600000,
        10000,
        100,
    )
    assert (row.min, row.max, row.mean, row.std, row.first, row.last) == (
        229.8,
        230.4,
        230.1,
        0.21,
        230.1,
        230.4,
    )
    found = decode(golden("report"))
    assert found.header.prev is None
    assert found.report is not None
    assert found.report["count"] == 600


COLUMN = json.loads(golden("samples"))["columns"]["meter-a/voltage_l1"]


def with_column(**changes: object) -> bytes:
    return altered("samples", columns={"m/t": {**COLUMN, **changes}})


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (b"\xff", "$: not JSON"),
        (b"[" * 100_000, "$: nested too deeply"),
        (b"[]", "$: an object is wanted, not array"),
        (b'{"v":1,"v":1}', "$: key 'v' is there twice"),
        (b'{"v":NaN}', "$: NaN is no JSON literal"),
        (b'{"v":1e999}', "$: 1e999 overflows"),
        (b'{"v":' + b"9" * 5000 + b"}", "$: not JSON"),
        (altered("samples", v=3), "$.v: 3 is outside 1..2"),
        (altered("samples", v=True), "$.v: an integer is wanted, not boolean"),
        (altered("samples", seq=0), "$.seq: 0 is outside"),
        (altered("samples", seq=2), "$.prev: is there with seq 1"),
        (altered("windows", seq=1), "$.prev: is there with seq 1"),
        (altered("samples", epoch="8C0F3A5B77D01E42"), "$.epoch: "),
        (altered("samples", stream="other"), "$.stream: 'other' is none of"),
        (altered("samples", clock=None), "$.clock: a string is wanted, not null"),
        (altered("samples", extra=1), "$: unknown key 'extra'"),
        (altered("samples", kind="windows"), "$: 'windows' is missing"),
        (altered("samples", times=[[1, None, 1]]), "$.times[0][1]: an integer is wanted"),
        (altered("samples", columns={"nodevice": COLUMN}), "$.columns['nodevice']: "),
        (with_column(t=1), "$.columns['m/t'].t: 1 is outside 0..0"),
        (with_column(v=[1, 2]), "$.columns['m/t'].v: 2 values for 3 times"),
        (with_column(v=[1, 2.0, 3]), "$.columns['m/t'].v[1]: an integer is wanted"),
        (with_column(k="u64", v=[1, -2, 0]), "$.columns['m/t'].v[1]: -1 is outside"),
        (with_column(k="i64", v=[2**63 - 1, 1, 0]), "$.columns['m/t'].v[1]: "),
        (with_column(k="bool", v=[0, 2, 1]), "$.columns['m/t'].v[1]: 2 is outside 0..1"),
        (with_column(k="f32"), "$.columns['m/t'].k: 'f32' is none of"),
        (with_column(q=[[4, 0]]), "$.columns['m/t'].q[0][0]: 4 is outside 1..3"),
        (with_column(q=[[1, 0]]), "$.columns['m/t'].q: 1 codes for 3 values"),
        (with_column(q=[[3, 6]]), "$.columns['m/t'].q[0][1]: 6 is outside 0..5"),
        (with_column(last=None), "$.columns['m/t'].last: "),
        (
            altered("windows", windows=[{"start": 5, "length_ms": 10, "rows": {}}]),
            "$.windows[0].start: 5 is no",
        ),
        (altered("report", report={"type": "dropped"}), "$.report: 'series' is missing"),
    ],
)
def test_refused_with_its_path(body: bytes, where: str) -> None:
    with pytest.raises(Undecodable) as refusal:
        decode(body)
    assert str(refusal.value).startswith(where)


def test_header_is_readable_where_the_payload_is_not() -> None:
    body = with_column(k="f32")
    assert header(body) == decode(golden("samples")).header


@given(st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), min_size=1))
def test_differences_give_back_any_integers(values: list[int | None]) -> None:
    steps, before = [], 0
    for value in values:
        steps.append(None if value is None else value - before)
        before = before if value is None else value
    held = [value for value in values if value is not None]
    last = {"last": held[-1]} if held else {}
    column = {"u": "1", "k": "i64", "d": None, "r": 1, "t": 0, "v": steps, **last}
    body = altered("samples", times=[[0] * len(values)], columns={"m/t": column})
    assert columns(decode(body)) == {"m/t": values}


@given(
    st.binary()
    | st.recursive(st.none() | st.integers() | st.text(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_anything_else_is_undecodable_and_nothing_worse(body: bytes) -> None:
    with pytest.raises(Undecodable):
        decode(body)
