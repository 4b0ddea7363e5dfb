"""The small parts: reads taken apart and merged, history's slices, the directory, audit and spool."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from headgate.driver import Refused, Reply
from headgate.model import Batch, ClockState, Frame, Series
from headgate.requests.audit import Audit, Entry
from headgate.requests.claim import check_uri
from headgate.requests.directory import Directory, devices_of
from headgate.requests.history import SLICE_MS, Found, Query, add, parse_query, result, slices
from headgate.requests.model import load_strictly
from headgate.requests.reading import PART_BYTES, Part, merge_read, plan_read
from headgate.requests.spool import ReplySpool
from headgate.store.day_file import DAY_MS
from headgate.store.query import Column
from tests.support import envelope_reader as reader

REGISTER = {"device": "m", "table": "holding", "address": 1, "count": 2}


def source_of(device: str) -> str | None:
    return {"m": "modbus", "b": "ble"}.get(device)


def test_a_read_is_split_by_bridge_and_by_what_the_answers_come_to() -> None:
    args = {
        "series": [f"m/{'x' * 40}{i}" for i in range(100)],
        "characteristics": [{"device": "b", "characteristic": "2a6e"}],
    }
    parts = plan_read(args, source_of)
    assert {part.source for part in parts} == {"modbus", "ble"}
    asked = [name for part in parts for name in part.args.get("series", [])]
    assert asked == args["series"]
    for part in parts:
        value = {"value": -1.7976931348623157e308, "unit": "V" * 10, "quality": 0, "t": 1 << 41}
        answer = [{"series": name, **value} for name in part.args.get("series", [])]
        assert len(json.dumps(answer, separators=(",", ":"))) < PART_BYTES + 200


@pytest.mark.parametrize(
    "args",
    [
        {},
        {"series": []},
        {"series": "m/x"},
        {"series": ["m"]},
        {"series": [7]},
        {"series": ["m/x/y"]},
        {"series": ["m/+"]},
        {"tags": ["m/x"]},
        {"registers": [{**REGISTER, "count": 0}]},
        {"registers": [{**REGISTER, "address": 65_536}]},
        {"registers": [{**REGISTER, "count": True}]},
        {"registers": [{**REGISTER, "more": 1}]},
        {"registers": [{**REGISTER, "device": "../m"}]},
        {"registers": [{}]},
        {"characteristics": [{"device": "b", "characteristic": "x" * 65}]},
        {"series": ["m/x"] * 5_001},
    ],
)
def test_a_read_of_another_form_is_refused(args: dict[str, Any]) -> None:
    with pytest.raises(Refused) as error:
        plan_read(args, source_of)
    assert error.value.code == "bad_request"


def test_what_a_bridge_could_not_bring_has_an_error() -> None:
    good, bad = Part("modbus", {"series": ["m/x"]}), Part("ble", {"series": ["b/y"], "registers": [REGISTER]})
    fine = Reply("r", "ok", "ok", result={"values": [{"series": "m/x", "value": 1}]})
    gone = Reply("r", "failed", "offline", "away")
    merged = merge_read("r", [(good, fine), (bad, gone)])
    assert merged.status == "ok"
    assert merged.result == {
        "values": [{"series": "m/x", "value": 1}, {"series": "b/y", "error": "offline: away"}],
        "registers": [{**REGISTER, "error": "offline: away"}],
    }
    assert merge_read("r", [(bad, gone)]) == Reply("r", "failed", "offline", "away")


@pytest.mark.parametrize(
    "args",
    [
        {},
        {"series": [], "from": 0, "to": 1},
        {"series": ["m/x"], "from": 1, "to": 1},
        {"series": ["m/x"], "from": "0", "to": 1},
        {"series": ["m/x"], "from": -1, "to": 1},
        {"series": ["m/x"], "from": 0, "to": 1 << 60},
        {"series": ["m/x"], "from": 0, "to": 1, "limit": 0},
        {"series": ["m/x"], "from": 0, "to": 1, "limit": 10**9},
        {"series": ["m/x"], "from": 0, "to": 1, "newest_first": 1},
        {"series": ["m/x"], "from": 0, "to": 1, "step": 1},
        {"series": ["m/x"], "from": 0, "to": 1, "step": 10**9},
        {"series": ["m/x"], "from": 0, "to": 1, "every": 1},
    ],
)
def test_a_query_of_another_form_is_refused(args: dict[str, Any]) -> None:
    with pytest.raises(Refused):
        parse_query(args)


@pytest.mark.parametrize("newest_first", [False, True])
def test_slices_cover_the_range_where_there_are_days_in_order(newest_first: bool) -> None:
    query = Query(("m/x",), 5, 3 * DAY_MS - 7, 10, newest_first)
    found = list(slices(query, [0, 2, 9]))
    assert found == sorted(found, reverse=newest_first)
    assert sum(end - start for start, end in found) == (DAY_MS - 5) + (DAY_MS - 7)
    assert all(0 < end - start <= SLICE_MS for start, end in found)
    assert len({t for piece in found for t in piece}) == len(found) + 2


def test_the_limit_keeps_what_comes_first_by_time_over_all_series() -> None:
    series = [Series("m/x", "V", "f64", 1), Series("m/y", "V", "f64", None)]
    query = Query(("m/x", "m/y"), 0, 100, 5, False)
    found = Found()
    add(found, [Column(s, [10, 20, 30], [1.5, None, 2.5], [0, 3, 0]) for s in series], query)
    assert (found.count, found.more) == (5, True)
    answer, said = result(found)
    assert answer["columns"]["m/x"]["v"] == [15, None, 10]
    assert answer["columns"]["m/x"]["q"] == [[1, 0], [1, 3], [1, 0]]
    assert answer["columns"]["m/y"]["v"] == [1.5, None]
    assert "last" in answer["columns"]["m/y"]
    assert said == ""
    envelope = {
        "v": 1,
        "kind": "samples",
        "stream": "live",
        "epoch": "0" * 15 + "1",
        "seq": 2,
        "clock": "synced",
    }
    body = {**envelope, "times": answer["times"], "columns": answer["columns"]}
    read = reader.samples(json.dumps(body).encode())
    assert [(s.t_ms, s.value) for s in read if s.series == "m/x"] == [(10, 1.5), (20, None), (30, 2.5)]


def test_of_two_revisions_the_newer_one_is_given_and_the_other_named() -> None:
    old, new = Series("m/x", "V", "f64", 1, 1), Series("m/x", "mV", "f64", 1, 2)
    found = Found()
    columns = [Column(old, [1], [1.0], [0]), Column(new, [2], [2.0], [0])]
    add(found, columns, Query(("m/x",), 0, 9, 9, False))
    answer, said = result(found)
    assert answer["columns"]["m/x"]["r"] == 2
    assert "m/x" in said


def test_the_directory_knows_configured_and_heard_devices() -> None:
    directory = Directory()
    directory.configured(devices_of({"modbus": {"devices": [{"name": "m"}, {"name": "n"}]}, "windows": {}}))
    table = [Series("m/x"), Series("b/y")]

    def batch(*frames: Frame) -> Batch:
        return Batch("ble", 1, 1, 1, b"k", "", 1_000, ClockState.SYNCED, 0, frames)

    directory.heard(batch(Frame(5, (0,), (1.0,)), Frame(6, (1,), (1.0,)), Frame(7, (9,), (1.0,))), table)
    directory.heard(batch(Frame(8, (1,), (None,), (3,))), table)
    assert directory.devices() == [
        {"device": "b", "source": "ble", "state": "silent", "last_ms": 1_006},
        {"device": "m", "source": "modbus", "state": "ok", "last_ms": 1_005},
        {"device": "n", "source": "modbus", "state": "unknown", "last_ms": None},
    ]
    assert directory.source_of("x") is None


def entry(t_ms: int, request_id: str = "r") -> Entry:
    return Entry(t_ms, request_id, "direct", "read", {}, Reply(request_id, "ok", "ok"), 1)


def test_the_audit_is_bounded_by_days_and_by_a_days_size(tmp_path: Path) -> None:
    audit = Audit(tmp_path / "audit", keep_files=3, max_day_bytes=400)
    for day in range(5):
        for _ in range(10):
            audit.write(entry(day * DAY_MS))
    files = sorted(path.name for path in (tmp_path / "audit").iterdir())
    assert files == ["19700103.jsonl", "19700104.jsonl", "19700105.jsonl"]
    assert all(path.stat().st_size <= 400 for path in (tmp_path / "audit").iterdir())
    assert audit.shed > 0


def test_a_line_torn_by_a_crash_spoils_no_other(tmp_path: Path) -> None:
    (tmp_path / "19700101.jsonl").write_bytes(b'{"t": 1, "id": "to')
    Audit(tmp_path).write(entry(0, "next"))
    assert json.loads((tmp_path / "19700101.jsonl").read_text().splitlines()[1])["id"] == "next"


def test_the_spool_of_replies_is_bounded(tmp_path: Path) -> None:
    spool = ReplySpool(tmp_path / "replies", keep_bytes=2_500, keep_files=3)
    ids = {spool.write(f"r{i}", bytes(1_000))[0] for i in range(6)}
    assert len(ids) == 6
    assert len(list((tmp_path / "replies").iterdir())) == 2
    assert (tmp_path / "replies" / "r5.json").exists()


@pytest.mark.parametrize(
    "uri",
    [
        "http://example.com/x",
        "http://127.0.0.1.example.com/x",
        "http://user@example.com/x",
        "file:///etc/passwd",
        "ftp://x/y",
        "https:///x",
        "https://x:99999/y",
        "https://[::1/x",
        "https://x/a b",
        "https://x/\n",
        "",
    ],
)
def test_arguments_come_only_from_where_they_may(uri: str) -> None:
    with pytest.raises(Refused):
        check_uri(uri)


@pytest.mark.parametrize("uri", ["https://x.example.com/y?z", "http://127.0.0.1:80/x", "http://[::1]/x"])
def test_arguments_may_come_from_https_and_from_this_machine(uri: str) -> None:
    check_uri(uri)


def test_json_is_read_strictly() -> None:
    assert load_strictly(b'{"a": [1]}', "x") == {"a": [1]}
    for text in (b'{"a": 1, "a": 1}', b"[Infinity]", b'"\\udc00"', b"{", b"1e999"):
        with pytest.raises(Refused):
            load_strictly(text, "x")
