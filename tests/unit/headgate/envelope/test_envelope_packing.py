from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from headgate.columns import Columns
from headgate.envelope import header, numbers
from headgate.envelope.alarms import pack_context, pack_event
from headgate.envelope.samples import pack_samples
from headgate.envelope.windows import pack_windows
from headgate.model import AlarmEvent, ClockState, EnvelopeId, Kind, Quality, Series, Value, Window, WindowRow
from headgate_cloud.decoder import decode
from tests.support import envelope_reader as reader

THING = "t" * 128
ROOM_BYTES = header.room_bytes(THING)
KEY = EnvelopeId(THING, "backlog", 0xFFFF_FFFF_FFFF_FFFF, 2)
I64 = st.integers(-(1 << 63), (1 << 63) - 1)
VALUES: dict[Kind, st.SearchStrategy[Value]] = {
    "f64": st.one_of(
        st.none(), st.floats(), st.integers(-(10**9), 10**9).map(lambda n: n / 100), st.just(-0.0)
    ),
    "i64": st.one_of(st.none(), I64),
    "u64": st.one_of(st.none(), st.integers(0, (1 << 64) - 1)),
    "bool": st.one_of(st.none(), st.booleans()),
    "text": st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]), max_size=200)),
}
NAMES = st.one_of(
    st.sampled_from(["a/b", "meter-a/voltage_l1", "d" * 64 + "/" + "t" * 64]),
    st.integers(0, 99).map(lambda n: f"{'n' * 60}/{n}"),
)


@st.composite
def a_series(draw: st.DrawFn) -> Series:
    kind: Kind = draw(st.sampled_from(["f64", "i64", "u64", "bool", "text"]))
    decimals = draw(st.one_of(st.none(), st.integers(0, 15))) if kind == "f64" else None
    unit = draw(st.sampled_from(["", "V", "°C", '"', "\u2126" * 64]))
    return Series(draw(NAMES), unit, kind, decimals, draw(st.integers(1, 3)))


@st.composite
def a_group(draw: st.DrawFn) -> Columns:
    series = tuple(draw(st.lists(a_series(), min_size=1, max_size=6)))
    rows = draw(st.integers(1, 30))
    times = draw(st.lists(st.integers(0, 4_102_444_800_000), min_size=rows, max_size=rows))
    values = [draw(st.lists(VALUES[s.kind], min_size=rows, max_size=rows)) for s in series]
    codes = st.lists(st.sampled_from([int(q) for q in Quality]), min_size=rows, max_size=rows).map(bytes)
    quality = [draw(st.one_of(st.none(), codes)) for _ in series]
    return Columns(series, times, values, quality)


def expected(groups: list[Columns]) -> Counter[reader.ReadSample]:
    return Counter(
        reader.ReadSample(
            s.name, s.unit, s.kind, s.revision, t, reader.comparable(values[j]), quality[j] if quality else 0
        )
        for group in groups
        for s, values, quality in zip(group.series, group.values, group.quality, strict=True)
        for j, t in enumerate(group.times_ms)
    )


@given(st.lists(a_group(), max_size=5))
def test_every_sample_exactly_once_and_every_envelope_under_the_limit(groups: list[Columns]) -> None:
    parts = pack_samples(groups, ClockState.UNSYNCED, ROOM_BYTES)
    bodies = [header.seal(part, KEY, None) for part in parts]
    topic_bytes = len(header.topic(THING, "backlog"))
    assert all(len(body) + topic_bytes <= header.LIMIT_BYTES for body in bodies)
    assert Counter(sample for body in bodies for sample in reader.samples(body)) == expected(groups)
    assert sum(part.samples for part in parts) == sum(map(len, groups))


def test_a_column_larger_than_an_envelope_is_split_by_time() -> None:
    series = Series("d" * 64 + "/" + "t" * 64, "\u2126" * 64, "text")
    texts = ["\n" * 890, *["x" * 1_700] * 20]
    group = Columns((series,), list(range(21)), [texts], [None])
    bodies = [header.seal(part, KEY, None) for part in pack_samples([group], ClockState.SYNCED, ROOM_BYTES)]
    found = [sample for body in bodies for sample in reader.samples(body)]
    assert [sample.value for sample in found] == texts
    assert max(map(len, bodies)) + len(header.topic(THING, "backlog")) <= header.LIMIT_BYTES


def test_envelopes_are_nearly_full() -> None:
    series = tuple(Series(f"meter-a/tag_{i:03}", "V", "f64", 1) for i in range(122))
    columns = [[(2300 + (i * j) % 7) / 10 for j in range(20)] for i in range(122)]
    group = Columns(series, list(range(0, 2000, 100)), columns, [None] * 122)
    parts = pack_samples([group], ClockState.SYNCED, ROOM_BYTES)
    assert all(len(part.text) > 0.95 * ROOM_BYTES for part in parts[:-1])


def test_decimals_that_are_not_exact_travel_as_doubles() -> None:
    assert numbers.scaled([0.1, 230.4, None], 1) == [1, 2304, None]
    assert numbers.scaled([0.15], 1) is None
    assert numbers.scaled([float("nan")], 1) is None
    assert numbers.scaled([1e300], 2) is None
    assert numbers.column(Series("a/b", decimals=1), [0.15]) == (None, "[0.15]")


def test_the_header_names_the_epoch_before_with_seq_1_only() -> None:
    part = header.Part("samples", ClockState.HOLDOVER, '"times":[],"columns":{}}', 0)
    first = EnvelopeId("gw", "live", 0xAB, 1)
    assert reader.load(header.seal(part, first, (0xCD, 7))) == {
        "v": 1,
        "kind": "samples",
        "stream": "live",
        "epoch": "00000000000000ab",
        "seq": 1,
        "prev": {"epoch": "00000000000000cd", "seq": 7},
        "clock": "holdover",
        "times": [],
        "columns": {},
    }
    assert reader.load(header.seal(part, first, None))["prev"] is None
    assert "prev" not in reader.load(header.seal(part, EnvelopeId("gw", "live", 0xAB, 2), None))


def test_the_longest_header_has_room() -> None:
    part = header.Part("samples", ClockState.HOLDOVER, "", 0)
    first = header.seal(part, EnvelopeId("t", "backlog", (1 << 64) - 1, 1), ((1 << 64) - 1, 10**16 - 1))
    assert len(first) <= header.HEADER_MAX_BYTES


def a_row(n: int) -> WindowRow:
    return WindowRow(n, 1.1, 2.2, 1.2345678901234567, 0.1, 1.1, 2.2)


def test_what_was_asked_for_and_a_correction_reach_the_cloud() -> None:
    asked = replace(
        a_row(3),
        sum=1 << 65,
        time_mean=1.5,
        quality=0.75,
        increase=7,
        rate=0.5,
        resets=2,
        percentiles=((0.5, 1.25), (0.999, 2.0)),
    )
    window = Window(3_000, 10_000, ClockState.SYNCED, {Series("a/b"): asked}, step_ms=1_000, revision=12)
    (part,) = pack_windows([window], ROOM_BYTES)
    (row,) = decode(header.seal(part, KEY, None)).windows
    assert (row.start_ms, row.length_ms, row.step_ms, row.correction) == (3_000, 10_000, 1_000, 12)
    assert (row.sum, row.time_mean, row.quality) == (1 << 65, 1.5, 0.75)
    assert (row.increase, row.rate, row.resets) == (7, 0.5, 2)
    assert row.percentiles == ((50.0, 1.25), (99.9, 2.0))


def test_an_alarm_is_plain_json() -> None:
    event = AlarmEvent("hot", Series("a/b", "°C"), "raised", "critical", "above", 80.0, 1_000, 81.5)
    found = decode(header.seal(pack_event(event, ClockState.SYNCED), KEY, None)).report
    assert found == {
        "type": "alarm",
        "alarm": "hot",
        "series": "a/b",
        "state": "raised",
        "severity": "critical",
        "condition": "above",
        "limit": 80.0,
        "t": 1_000,
        "value": 81.5,
        "u": "°C",
    }


@given(st.lists(st.tuples(st.integers(0, 10**6), st.lists(a_series(), unique=True, max_size=60)), max_size=4))
def test_every_window_row_exactly_once(found: list[tuple[int, list[Series]]]) -> None:
    windows = [
        Window(start * 10_000, 10_000, ClockState(start % 3), {s: a_row(i + 1) for i, s in enumerate(series)})
        for start, series in found
    ]
    parts = pack_windows(windows, ROOM_BYTES, rounded=False)
    bodies = [header.seal(part, KEY, None) for part in parts]
    assert all(len(body) + len(header.topic(THING, "backlog")) <= header.LIMIT_BYTES for body in bodies)
    read = Counter((w.series, w.start_ms, w.n, w.mean) for body in bodies for w in reader.windows(body))
    assert read == Counter((s.name, w.start_ms, r.count, r.mean) for w in windows for s, r in w.rows.items())


def test_the_context_of_an_event_fits_and_says_what_was_cut() -> None:
    longest = "d" * 64 + "/" + "t" * 64
    series = tuple(Series(f"{'d' * 64}/{'t' * 61}{i:03}", "°C") for i in range(90))
    group = Columns(series, list(range(20)), [[i / 7 + t for t in range(20)] for i in range(90)], [None] * 90)
    room_bytes = header.room_bytes("g" * 128)
    whole = pack_context(
        [group], ClockState.SYNCED, room_bytes, 99, alarm="a" * 64, series=longest, t_ms=(1 << 42)
    )
    assert sum(part.samples for part in whole) == len(group)
    assert all(len(part.text) <= room_bytes for part in whole)
    marks = [json.loads("{" + part.text)["context"] for part in whole]
    assert [mark["part"] for mark in marks] == list(range(1, len(whole) + 1))
    assert {(mark["alarm"], mark["series"], mark["t"], mark["parts"]) for mark in marks} == {
        ("a" * 64, longest, (1 << 42), len(whole))
    }
    assert not any("cut" in mark for mark in marks)
    cut = pack_context([group], ClockState.SYNCED, room_bytes, 2, alarm="a", series=longest, t_ms=1)
    assert [json.loads("{" + part.text)["context"].get("cut") for part in cut] == [True, True]
    assert pack_context([], ClockState.SYNCED, room_bytes, 2, alarm="a", series=longest, t_ms=1) == []
