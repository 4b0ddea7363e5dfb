"""The checker against a radio's record: every fault that is planted is seen, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway_sim.ble.blefile import RADIO_RECORD, BleDevice, BleTag, Radio, sent_path
from gateway_sim.checker.arrived import Column, WindowRow
from gateway_sim.checker.heard import RadioRecords
from gateway_sim.checker.radio import checks_of, unchecked_of
from gateway_sim.checker.result import TelemetryResult
from gateway_sim.checker.telemetry import Telemetry
from gateway_sim.checker.windows import Windows
from gateway_sim.devices.plantfile import Plant

T0 = 1_763_685_600_000
PACKETS = 300
"""More than a packet id counts to."""
OFFICE = BleDevice(
    "office", "A4:C1:38:10:00:01", "bthome", None, 1.0,
    (BleTag("packet_id", "1", 0), BleTag("temperature", "°C", 2)),
)  # fmt: skip
WORKSHOP = BleDevice(
    "workshop", "E0:5A:1B:77:00:0C", "ess", None, 5.0,
    (BleTag("temperature", "°C", 2), BleTag("pressure", "Pa", 1)),
)  # fmt: skip
RADIO = Radio(1, T0, "unix:path=bus", "hci0", "control", (OFFICE, WORKSHOP))
Row = dict[str, Any]


def advert(count: int, **changes: object) -> Row:
    raw = {"packet_id": count % 256, "temperature": 2_000 + count % 7}
    return {"t_ms": T0 + 1000 * count, "kind": "advert", "count": count, "heard": True, "raw": raw, **changes}


def read(count: int, session: int, tag: str, t_ms: int) -> Row:
    return {"t_ms": t_ms, "kind": "read", "count": count, "session": session, "raw": {tag: 1_900 + count}}


def sent() -> dict[str, list[Row]]:
    """Packets, each third of them twice; and a session of reads every five seconds."""
    office = []
    for count in range(1, PACKETS + 1):
        office.append(advert(count))
        if count % 3 == 0:
            office.append(advert(count, t_ms=T0 + 1000 * count + 120))
    workshop, number = [], 0
    for session in range(1, 60):
        for tag in ("temperature", "pressure"):
            number += 1
            workshop.append(read(number, session, tag, T0 + 5000 * session + number % 2))
    return {"office": office, "workshop": workshop}


def arrived(records: dict[str, list[Row]]) -> list[Column]:
    """What a faultless gateway makes of it: the first of each packet, 3 ms later."""
    first = {row["count"]: row for row in reversed(records["office"]) if row["heard"]}
    packets = [first[count] for count in sorted(first)]
    times = [row["t_ms"] + 3 for row in packets]
    columns = [
        Column(f"office/{tag.name}", tag.unit, tag.decimals, times, [row["raw"][tag.name] for row in packets])
        for tag in OFFICE.tags
    ]
    for tag in WORKSHOP.tags:
        rows = [row for row in records["workshop"] if tag.name in row["raw"]]
        raws = [row["raw"][tag.name] for row in rows]
        columns.append(
            Column(f"workshop/{tag.name}", tag.unit, tag.decimals, [row["t_ms"] + 2 for row in rows], raws)
        )
    return columns


def telemetry(
    folder: Path, records: dict[str, list[Row]], columns: Sequence[Column], discovery: Sequence[Row] = ()
) -> Telemetry:
    for name, rows in records.items():
        text = "".join(json.dumps(row) + "\n" for row in rows)
        sent_path(folder, name).write_text(text)
    (folder / RADIO_RECORD).write_text("".join(json.dumps(row) + "\n" for row in discovery))
    made = Telemetry(Plant(1, T0, ()), checks_of(RADIO), unchecked_of(RADIO))
    made.serve(RadioRecords(RADIO, folder).new())
    made.arrive(columns)
    return made


def judged(
    folder: Path, records: dict[str, list[Row]], columns: Sequence[Column], **more: Any
) -> TelemetryResult:
    return telemetry(folder, records, columns, **more).result(T0, T0 + 1_000_000)


def changed(columns: list[Column], series: str, change: Callable[[Column], Column]) -> list[Column]:
    return [change(column) if column.series == series else column for column in columns]


def without(column: Column, at: int) -> Column:
    times, raws = list(column.times), list(column.raws)
    del times[at], raws[at]
    return Column(column.series, column.unit, column.decimals, times, raws)


def with_raw(column: Column, at: int, raw: int) -> Column:
    raws = [*column.raws[:at], raw, *column.raws[at + 1 :]]
    return Column(column.series, column.unit, column.decimals, column.times, raws)


def test_a_faultless_gateway_is_found_faultless(tmp_path: Path) -> None:
    records = sent()
    result = judged(tmp_path, records, arrived(records))
    assert result.ok
    assert result.buses["ble"].served == result.served == 2 * PACKETS + 2 * 59
    assert (result.lost, result.doubled, result.wrong, result.unmatched) == (0, 0, 0, 0)


def test_a_lost_packet_and_a_lost_read(tmp_path: Path) -> None:
    records = sent()
    columns = arrived(records)
    for series in ("office/packet_id", "office/temperature", "workshop/pressure"):
        columns = changed(columns, series, lambda column: without(column, 40))
    result = judged(tmp_path, records, columns)
    assert (result.lost, result.wrong, result.doubled) == (3, 0, 0)
    assert "office/temperature poll 41" in " ".join(result.examples["lost"])


def test_a_packet_that_arrives_twice(tmp_path: Path) -> None:
    records = sent()
    columns = arrived(records)
    again = [
        Column(c.series, c.unit, c.decimals, [c.times[11] + 120], [c.raws[11]])
        for c in columns
        if c.series.startswith("office/")
    ]
    result = judged(tmp_path, records, [*columns, *again])
    assert (result.lost, result.wrong, result.doubled) == (0, 0, 2)


@pytest.mark.parametrize("series", ["office/temperature", "workshop/temperature"])
def test_a_wrong_value(tmp_path: Path, series: str) -> None:
    records = sent()
    columns = changed(arrived(records), series, lambda column: with_raw(column, 7, 1))
    result = judged(tmp_path, records, columns)
    assert (result.lost, result.wrong, result.doubled) == (0, 1, 0)
    assert f"{series} poll" in result.examples["wrong"][0]


def test_packets_whose_ids_were_exchanged(tmp_path: Path) -> None:
    """Both are there, each with the other's values: nothing is lost, and everything of them is wrong."""
    records = sent()
    columns = arrived(records)
    raws = list(columns[0].raws)
    raws[3], raws[4] = raws[4], raws[3]
    first = columns[0]
    columns[0] = Column(first.series, first.unit, first.decimals, first.times, raws)
    result = judged(tmp_path, records, columns)
    assert result.wrong > 0
    assert not result.ok


def test_a_packet_of_another_lap_of_the_counter_is_not_taken_for_this_one(tmp_path: Path) -> None:
    """Packet 300 has the id of packet 44; when it alone is lost, nobody else's arrival stands in."""
    records = sent()
    columns = arrived(records)
    for series in ("office/packet_id", "office/temperature"):
        columns = changed(columns, series, lambda column: without(column, 299))
    result = judged(tmp_path, records, columns)
    assert (result.lost, result.wrong) == (2, 0)


def test_a_packet_that_nobody_sent_and_a_time_that_is_not_its(tmp_path: Path) -> None:
    records = sent()
    columns = arrived(records)
    made_up = Column("office/packet_id", "1", 0, [T0 + 50_500], [200])
    late = [Column(c.series, c.unit, c.decimals, [t + 2_500 for t in c.times], c.raws) for c in columns[:2]]
    assert judged(tmp_path, records, [*columns, made_up]).wrong == 1
    result = judged(tmp_path, records, [*late, *columns[2:]])
    assert result.wrong >= 2 * PACKETS - 10
    assert result.lost >= 2 * PACKETS - 10


def test_what_was_not_heard_is_not_demanded_and_must_not_arrive(tmp_path: Path) -> None:
    records = sent()
    columns = arrived(records)
    for row in records["office"]:
        if row["count"] == 50:
            row["heard"] = False
    assert judged(tmp_path, records, columns).wrong == 2
    assert judged(tmp_path, records, arrived(records)).ok


def test_what_was_heard_just_before_discovery_ended_may_be_missing(tmp_path: Path) -> None:
    records = sent()
    ended = {"t_ms": T0 + 50_000 + 200, "discovering": False, "why": "StopDiscovery"}
    columns = arrived(records)
    assert judged(tmp_path, records, columns, discovery=[ended]).ok
    for series in ("office/packet_id", "office/temperature"):
        columns = changed(columns, series, lambda column: without(column, 49))
    assert judged(tmp_path, records, columns, discovery=[ended]).ok
    earlier = {**ended, "t_ms": T0 + 50_000 + 251}
    assert judged(tmp_path, records, columns, discovery=[earlier]).lost == 2


def test_a_read_that_was_asked_for_need_not_arrive(tmp_path: Path) -> None:
    records = sent()
    columns = arrived(records)
    records["workshop"].append(read(200, 99, "temperature", T0 + 12_000))
    assert judged(tmp_path, records, columns).ok
    once_more = Column("workshop/temperature", "°C", 2, [T0 + 12_001], [2_100])
    result = judged(tmp_path, records, [*columns, once_more])
    assert result.ok
    assert result.served == 2 * PACKETS + 2 * 59 + 1


def test_signal_strength_is_nobodys_record_and_another_series_is_unknown(tmp_path: Path) -> None:
    records = sent()
    extra = [Column(f"office/{tag}", "dBm", 0, [T0 + 5], [-60]) for tag in ("rssi", "colour")]
    assert judged(tmp_path, records, [*arrived(records), *extra]).unknown == ("office/colour",)


def test_windows_of_packets_are_recomputed(tmp_path: Path) -> None:
    records = sent()
    found = telemetry(tmp_path, records, arrived(records))
    start, length_ms = T0 + 10_000, 10_000
    raws = [2_000 + count % 7 for count in range(10, 20)]
    mean = sum(raws) / 1000
    std = (sum((raw / 100 - mean) ** 2 for raw in raws) / 10) ** 0.5
    numbers = (min(raws) / 100, max(raws) / 100, mean, std, raws[0] / 100, raws[-1] / 100)
    right = WindowRow("office/temperature", start, length_ms, 10, *numbers, unit="°C")
    short = WindowRow("office/temperature", start, length_ms, 9, *numbers, unit="°C")
    for row, wrong in ((right, 0), (short, 1)):
        windows = Windows()
        windows.arrive([row])
        result = windows.result(found, length_ms, start, start + length_ms)
        assert (result.arrived, result.wrong) == (1, wrong)


def test_a_doubled_read_does_not_stand_in_for_a_lost_one_of_the_same_value(tmp_path: Path) -> None:
    """Reads a second apart: the second one's sample comes twice, with one time, the first one's never."""
    first, second = read(1, 1, "temperature", T0 + 5_000), read(3, 2, "temperature", T0 + 6_000)
    second["raw"] = first["raw"]
    pressures = [read(2, 1, "pressure", T0 + 5_006), read(4, 2, "pressure", T0 + 6_006)]
    records = {"office": [], "workshop": [first, pressures[0], second, pressures[1]]}
    raws = [1_901, 1_901]
    twice = Column("workshop/temperature", "°C", 2, [T0 + 6_002] * 2, raws)
    result = judged(tmp_path, records, [*arrived({**records, "workshop": pressures}), twice])
    assert (result.lost, result.doubled, result.wrong) == (1, 1, 0)


def test_of_two_reads_near_in_time_the_one_whose_value_agrees_is_meant(tmp_path: Path) -> None:
    """What was asked for is read just after the gateway's own read, before that one's sample is stamped."""
    records = sent()
    records["workshop"].append(read(200, 99, "temperature", T0 + 5_004))
    columns = changed(
        arrived(sent()),
        "workshop/temperature",
        lambda c: Column(c.series, c.unit, c.decimals, [c.times[0] + 3, *c.times[1:]], c.raws),
    )
    result = judged(tmp_path, records, columns)
    assert result.ok
    assert judged(
        tmp_path, records, changed(columns, "workshop/temperature", lambda c: with_raw(c, 0, 7))
    ).wrong
