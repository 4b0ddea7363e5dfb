"""The archive's lines: what SQL finds in them, and that an envelope's bytes come back exactly."""

from __future__ import annotations

import gzip
import hashlib
import json
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate_cloud.archiverows import Damaged, body_of, object_key, packed, row
from headgate_cloud.decoder import Column, Envelope, Header, WindowRow
from headgate_cloud.intake import Arrival, read
from tests.unit.headgate_cloud.ingest_examples import EPOCH, message, report

GOOD = gzip.compress(b'{"body":"1"}\n', mtime=0)
EMPTY = gzip.compress(b"{}\n", mtime=0)
HEAD = Header("samples", "live", EPOCH, 7, None, "synced")


def arrival(body: bytes, envelope: Envelope | None = None, flaw: str | None = None) -> Arrival:
    digest = hashlib.sha256(body).hexdigest()
    return Arrival("gw-1", "json", body, digest, 1_763_685_600_000, HEAD, flaw, envelope)


def column(kind: str, raw: tuple[object, ...], decimals: int | None = None) -> dict[str, object]:
    times = tuple(range(len(raw)))
    made = Column("d/t", "V", kind, decimals, 1, times, raw, (0,) * len(raw), None)  # type: ignore[arg-type]  # of any kind
    found = json.loads(json.dumps(row(arrival(b"{}", Envelope(HEAD, columns=(made,))))["columns"]))
    return dict(found[0])


@given(
    st.lists(st.one_of(st.binary(max_size=60), st.text(max_size=60).map(str.encode)), min_size=1, max_size=5)
)
def test_bytes_come_back_whatever_they_are(bodies: list[bytes]) -> None:
    arrivals = [arrival(body, flaw="undecodable: $: not JSON") for body in bodies]
    data = packed(arrivals)
    assert packed(arrivals) == data
    assert [body_of(data, i, a.digest) for i, a in enumerate(arrivals)] == bodies
    assert gzip.decompress(data).count(b"\n") == len(bodies)


def test_a_double_beside_what_it_cannot_say() -> None:
    assert column("f64", (1.5, None)) == {
        "series": "d/t",
        "unit": "V",
        "kind": "f64",
        "t": [0, 1],
        "value": [1.5, None],
        "quality": [0, 0],
    }
    exact = column("u64", (2**64 - 1, 3))
    assert (exact["value"], exact["text"]) == ([float(2**64), 3], ["18446744073709551615", None])
    scaled = column("i64", (2301, None), 1)
    assert (scaled["value"], scaled["text"]) == ([230.1, None], [str(Decimal("230.1")), None])
    words = column("text", ("on", ""))
    assert (words["value"], words["text"]) == ([None, None], ["on", ""])
    assert column("bool", (True, False))["value"] == [1, 0]
    odd = column("f64", (float("nan"), float("-inf")))
    assert (odd["value"], odd["text"]) == ([None, None], ["nan", "-inf"])


def test_windows_reports_and_flaws_are_rows_too() -> None:
    window = WindowRow(
        "d/t", 0, 10, "V", 1, 1, 3, 1.0, 3.0, 2.0, 0.5, 1.0, 3.0, 10, percentiles=((50.0, 2.0),)
    )
    found = row(arrival(b"{}", Envelope(HEAD, windows=(window,))))["windows"]
    assert found == [
        {
            "series": "d/t",
            "unit": "V",
            "start": 0,
            "length_ms": 10,
            "step_ms": 10,
            "correction": 0,
            "n": 3,
            "min": 1.0,
            "max": 3.0,
            "mean": 2.0,
            "std": 0.5,
            "first": 1.0,
            "last": 3.0,
            "percentiles": {"50": 2.0},
        }
    ]
    taken = read(message(report(1)), 0)
    assert isinstance(taken, Arrival)
    assert row(taken)["report_type"] == "started"
    assert json.loads(str(row(taken)["report"])) == {"type": "started"}
    assert row(arrival(b"{", flaw="why"))["flaw"] == "why"


def test_an_object_is_named_by_its_day_thing_and_content() -> None:
    one, other = arrival(b"1"), arrival(b"2")
    key = object_key("gw-1", "2025-11-21", [one, other])
    assert key.startswith("envelopes/v1/day=2025-11-21/thing=gw-1/")
    assert key == object_key("gw-1", "2025-11-21", [one, other])
    assert key != object_key("gw-1", "2025-11-21", [one])


@pytest.mark.parametrize(
    ("data", "line", "what"),
    [
        (b"no gzip", 0, "cannot be read: BadGzipFile"),
        (GOOD, 5, "IndexError"),
        (EMPTY, 0, "KeyError"),
        (GOOD, 0, "its SHA-256 is another"),
        (GOOD[:-9], 0, "EOFError"),
    ],
    ids=["no gzip", "no such line", "no body", "another body", "cut"],
)
def test_a_damaged_object_is_no_envelope(data: bytes, line: int, what: str) -> None:
    with pytest.raises(Damaged, match=what):
        body_of(data, line, "00")
