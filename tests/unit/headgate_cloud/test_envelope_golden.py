"""Golden envelopes of every version: what was sent once is read for ever, and today's are made as written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from headgate.columns import Columns
from headgate.envelope import compact, header, samples, windows
from headgate.envelope.header import Part
from headgate.envelope.schemas import SchemaBook
from headgate.model import ClockState, EnvelopeId, Series, Value, Window, WindowRow
from headgate_cloud import compact as cloud
from headgate_cloud import decoder
from headgate_cloud.forms import Envelope

ROOT = Path(__file__).parents[3]
GOLDEN = ROOT / "tests/golden/envelope"
KEY = EnvelopeId("gw-1", "live", 0x8C0F_3A5B_77D0_1E42, 7)
TABLE = (
    Series("meter-a/voltage_l1", "V", "f64", 1),
    Series("meter-a/temperature", "°C"),
    Series("meter-a/energy", "Wh", "u64"),
    Series("meter-a/on", "", "bool"),
    Series("meter-a/state", "", "text"),
)
START_MS = 1_763_685_600_000


def group() -> Columns:
    values: list[list[Value]] = [
        [230.1, 230.3, 230.4],
        [21.5, None, -0.0],
        [2**64 - 1, 0, 5],
        [True, False, None],
        ["a", "Ü", None],
    ]
    times = [START_MS, START_MS + 100, START_MS + 200]
    return Columns(TABLE, times, values, [bytes((0, 0, 1)), *[None] * 4])


def closed() -> list[Window]:
    rows = [WindowRow(100, 229.8, 230.4, 230.1 + 0.1 * at, 0.2, 230.1, 230.4, sum=23010.0) for at in range(3)]
    counted = WindowRow(
        100, 5, 18, 9.5, 0.0, 5, 18, increase=13, rate=1.3, resets=0, percentiles=((0.5, 9.5),)
    )
    return [
        Window(START_MS + 10_000 * at, 10_000, ClockState.SYNCED, {TABLE[0]: row, TABLE[2]: counted})
        for at, row in enumerate(rows)
    ]


def made() -> dict[str, bytes]:
    """What the gateway makes of it today, by the files' names."""
    book = SchemaBook({})
    (key,) = book.add(TABLE, header.room_bytes("gw-1"), 0)
    rooms = [header.room_bytes("gw-1", schema) for schema in (header.COLUMNS, header.COMPACT)]
    found = {
        "v2/samples.json": samples.pack_samples([group()], ClockState.SYNCED, rooms[0]),
        "v2/windows.json": windows.pack_windows(closed(), rooms[0]),
        "compact/schema.json": [book.report(key, ClockState.SYNCED)],
        "compact/samples.hex": compact.pack_samples([group()], ClockState.SYNCED, rooms[1], book),
        "compact/windows.hex": compact.pack_windows(closed(), rooms[1], book),
    }
    return {name: _sealed(parts) for name, parts in found.items()}


def _sealed(parts: list[Part]) -> bytes:
    (part,) = parts
    return header.seal(part, KEY, None)


def golden(name: str) -> bytes:
    data = (GOLDEN / name).read_bytes()
    return bytes.fromhex(data.decode()) if name.endswith(".hex") else data


def read(name: str) -> Envelope:
    if not name.endswith(".hex"):
        return decoder.decode(golden(name))
    report = decoder.decode(golden("compact/schema.json")).report
    assert report is not None
    return cloud.decode(golden(name), dict([cloud.schema(report)]))


@pytest.mark.parametrize("name", ["v2/samples.json", "v2/windows.json", "compact/schema.json"])
def test_json_is_made_as_written(name: str) -> None:
    assert json.loads(made()[name]) == json.loads(golden(name))


@pytest.mark.parametrize("name", ["v2/samples.json", "compact/samples.hex"])
def test_samples_are_read(name: str) -> None:
    found = {column.series: [s.value for s in column.samples()] for column in read(name).columns}
    assert found == {series.name: [*values] for series, values in zip(TABLE, group().values, strict=True)}
    assert read(name).columns[0].quality == (0, 0, 1)


@pytest.mark.parametrize("name", ["v2/windows.json", "compact/windows.hex"])
def test_windows_are_read(name: str) -> None:
    found = sorted(read(name).windows, key=lambda row: (row.series, row.start_ms))
    energy, voltage = found[:3], found[3:]
    assert [row.start_ms - START_MS for row in voltage] == [0, 10_000, 20_000]
    assert [(row.n, row.min, row.max, row.mean) for row in voltage] == [
        (100, 229.8, 230.4, 230.1),
        (100, 229.8, 230.4, 230.2),
        (100, 229.8, 230.4, 230.3),
    ]
    assert (voltage[0].std, voltage[0].sum, voltage[0].mean_step) == (0.2, 23010.0, 0.1)
    assert (energy[0].min, energy[0].max, energy[0].increase, energy[0].rate) == (5, 18, 13, 1.3)
    assert energy[0].percentiles == ((50.0, 9.5),)


@pytest.mark.parametrize("name", ["samples", "windows"])
def test_version_2_follows_its_schema(name: str) -> None:
    schema = json.loads((ROOT / "schemas/envelope.v2.json").read_text())
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    whole = json.loads(golden(f"v2/{name}.json"))
    validator.validate(whole)
    for change in ({"v": 1}, {"sets": None}, {"more": 1}, {"seq": 0}):
        assert not validator.is_valid({**whole, **change})
