"""What commands write: words for values, tables, lines of JSON, and nobody else's control characters."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate_cloud.cli import words
from headgate_cloud.cli.direct import matching
from headgate_cloud.cli.errors import Complaint
from headgate_cloud.cli.output import Output, plain
from headgate_cloud.cli.replies import decoded, samples, show
from headgate_cloud.cli.session import result_in

NOW_MS = 1_763_685_610_000
T_MS = NOW_MS - 340


def reply(**result: Any) -> dict[str, Any]:
    return {
        "v": 1,
        "id": "r-1",
        "status": "ok",
        "code": "ok",
        "detail": "",
        "result": result,
        "file_id": None,
    }


def shown(capsys: pytest.CaptureFixture[str], found: dict[str, Any]) -> list[str]:
    show(Output(as_json=False), "gw-1", found, NOW_MS, "212 ms")
    return [line.rstrip() for line in capsys.readouterr().out.splitlines()]


@pytest.mark.parametrize(
    ("found", "unit", "text"),
    [
        (230.4, "V", "230.4 V"),
        (17, "1", "17"),
        (True, "", "on"),
        (None, "V", "-"),
        (1e-9, "A", "1e-09 A"),
        ("run", "", "run"),
    ],
)
def test_values(found: object, unit: str, text: str) -> None:
    assert words.value(found, unit) == text


def test_quality_codes_and_words() -> None:
    assert [words.quality(code) for code in (0, 3, 9, "stale", None)] == [
        "good",
        "bad_comm",
        "quality 9",
        "stale",
        "?",
    ]


def test_spark_shows_the_course_and_its_gaps() -> None:
    assert words.spark([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    assert words.spark([1, None, 1]) == "▁ ▁"
    assert words.spark([None, None]) == "  "
    assert words.spark([]) == ""


@given(st.lists(st.none() | st.floats(width=32), max_size=200), st.integers(1, 40))
def test_spark_never_fails(values: list[float | None], width: int) -> None:
    assert len(words.spark(values, width)) == min(width, len(values))


def test_values_with_units_quality_and_age(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(
        capsys,
        reply(
            values=[
                {"series": "meter-a/voltage_l1", "value": 230.4, "unit": "V", "quality": 0, "t": T_MS},
                {"series": "meter-b/power", "error": "offline"},
            ],
            registers=[{"device": "meter-a", "table": "holding", "address": 2, "values": [2304], "t": T_MS}],
        ),
    )
    assert lines[0] == "gw-1  212 ms"
    assert [line.split() for line in lines if "meter" in line] == [
        ["meter-a/voltage_l1", "230.4", "V", "good", "0.3", "s"],
        ["meter-b/power", "offline"],
        ["meter-a:holding:2", "2304", "(0x0900)", "0.3", "s"],
    ]


def test_a_refusal_says_code_and_detail(capsys: pytest.CaptureFixture[str]) -> None:
    refused = {
        **reply(),
        "status": "refused",
        "code": "unknown_series",
        "detail": "no series m/x",
        "result": None,
    }
    assert shown(capsys, refused) == ["gw-1  refused (unknown_series): no series m/x"]


def test_writes_say_what_was_there_and_what_came_of_each(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"series": "boiler/setpoint", "unit": "°C", "old": 21.5, "value": 30.0, "t": T_MS}
    writes = [
        {**row, "outcome": "verified", "asked": 99},
        {**row, "outcome": "mismatch", "found": 21.5, "error": "confirmed, but it reads as another value"},
        {"series": "boiler/pump", "unit": "", "value": True, "outcome": "not_written", "error": "skipped"},
    ]
    failed = {**reply(writes=writes), "status": "failed", "code": "not_verified", "detail": "boiler/x"}
    lines = shown(capsys, failed)
    assert lines[0] == "gw-1  failed (not_verified): boiler/x"
    assert [line.split() for line in lines if line.startswith("boiler")] == [
        ["boiler/setpoint", "21.5", "°C", "30", "°C", "verified", "asked", "99", "°C"],
        [
            *("boiler/setpoint", "21.5", "°C", "30", "°C", "mismatch", "reads", "21.5", "°C;"),
            *("confirmed,", "but", "it", "reads", "as", "another", "value"),
        ],
        ["boiler/pump", "-", "on", "not_written", "skipped"],
    ]


def test_history_is_summed_up(capsys: pytest.CaptureFixture[str]) -> None:
    column = {
        "u": "V",
        "k": "f64",
        "d": 1,
        "r": 1,
        "t": 0,
        "last": 230.4,
        "v": [2301, 2, 1],
        "q": [[2, 0], [1, 1]],
    }
    result = {"times": [[1_763_685_600_000, 100, 100]], "columns": {"m/v": column}, "more": True}
    text = "\n".join(shown(capsys, reply(**result)))
    assert "230.1 V   230.267 V   230.4 V   ▁▆█" in text
    assert "there is more" in text
    assert samples(decoded(result)) == [
        (1_763_685_600_000, "m/v", 230.1, "V", "good"),
        (1_763_685_600_100, "m/v", 230.3, "V", "good"),
        (1_763_685_600_200, "m/v", 230.4, "V", "uncertain"),
    ]


def test_what_a_gateway_says_is_neither_markup_nor_control(capsys: pytest.CaptureFixture[str]) -> None:
    nasty = "[red]x[/] \x1b[2J\n\\[b]"
    lines = shown(
        capsys, {**reply(), "status": "failed", "code": "internal", "detail": nasty, "result": None}
    )
    assert lines == ["gw-1  failed (internal): [red]x[/] �[2J�\\[b]"]


@given(st.text(max_size=40))
def test_plain_text_never_breaks_the_drawing(text: str) -> None:
    from rich.text import Text

    assert Text.from_markup(f"[bold]{plain(text)}[/]", emoji=False).plain == "".join(
        c if c.isprintable() else "�" for c in text
    )


def test_json_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=True).record({"thing": "gw-1", "reply": reply(values=[])})
    (line,) = capsys.readouterr().out.splitlines()
    assert json.loads(line)["reply"]["id"] == "r-1"


def test_only_the_reply_to_this_request_counts() -> None:
    body = json.dumps(reply()).encode()
    assert matching(body, "r-1") is not None
    assert matching(body, "r-2") is None
    for flawed in (b"", b"[]", b'{"id": "r-1", "status": 4}', b'{"id": "r-1", "result": 1}'):
        assert matching(flawed, "r-1") is None


def test_a_result_in_a_file_is_a_reply_or_the_result_alone() -> None:
    assert result_in(json.dumps(reply(values=[])).encode()) == {"values": []}
    assert result_in(b'{"values": []}') == {"values": []}
    with pytest.raises(Complaint):
        result_in(b"[]")


def test_what_scans_found(capsys: pytest.CaptureFixture[str]) -> None:
    fit = {"profile": "bthome", "values": {"temperature": 21.5, "open": True}}
    devices = [
        {
            "address": "A4:C1:38:10:00:01",
            "name": "hall",
            "rssi": -60,
            "adverts": 9,
            "t": T_MS,
            "profiles": [fit],
        },
        {"address": "A4:C1:38:10:00:02", "rssi": -61, "adverts": 1, "t": T_MS, "devices": ["a", "b"]},
        {
            "address": "A4:C1:38:10:00:03",
            "rssi": -62,
            "adverts": 1,
            "t": T_MS,
            "profiles": [{"profile": "bthome", "sealed": True}, {"profile": "xiaomi", "guessed": True}],
        },
    ]
    devices[1]["manufacturer_data"] = {"004c": "0215"}
    lines = shown(capsys, reply(source="ble", adapter="hci0", adverts=11, seconds=10.0, found=devices))
    assert lines[0] == "gw-1  212 ms  adapter hci0, adverts 11, 10.0 s"
    text = "\n".join(lines)
    assert "temperature 21.5, open on" in text
    assert "004c: 0215" in text
    assert "a, b" in text
    assert "bthome, xiaomi?" in text
    assert "encrypted: needs its bind_key" in text
    units = [
        {"unit": 1, "answer": "answers", "devices": ["meter-a"]},
        {"unit": 7, "error": "something was heard"},
    ]
    told = reply(source="modbus", device="meter-a", first=1, last=32, asked=32, seconds=9.1, found=units)
    lines = shown(capsys, told)
    assert lines[0] == "gw-1  212 ms  device meter-a, units 1 to 32, 32 asked, 9.1 s"
    assert [line.split() for line in lines[3:]] == [
        ["1", "answers", "meter-a"],
        ["7", "something", "was", "heard", "-"],
    ]
    assert "nothing was found" in "\n".join(shown(capsys, reply(source="ble", found=[])))
