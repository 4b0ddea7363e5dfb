"""Both codecs against the cloud's own decoder: every value as it was, every envelope within one unit."""

from __future__ import annotations

import math
import struct
from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway_sim.checker.compact import decode_compact
from gateway_sim.checker.compact import schema as checker_schema
from headgate.columns import Columns, Rows, from_batch
from headgate.envelope import compact, header
from headgate.envelope.schemas import AGAIN_MS, SchemaBook
from headgate.envelope.window_columns import columns_of
from headgate.errors import Reject
from headgate.model import Batch, ClockState, EnvelopeId, Frame, Series, Window, WindowRow
from headgate.uplink.acks import parse_acks
from headgate_cloud import compact as cloud
from headgate_cloud import decoder
from headgate_cloud.forms import Envelope
from headgate_cloud.strict import Undecodable
from tests.support import envelope_cases as cases
from tests.unit.headgate.envelope.test_envelope_packing import a_group, a_series, expected

WHOLE = st.integers(-(2**70), 2**70)
DOUBLES = st.one_of(st.floats(), st.integers(-(10**6), 10**6).map(lambda n: n / 100))


@st.composite
def a_row(draw: st.DrawFn, *, whole: bool) -> WindowRow:
    numbers = WHOLE if whole else DOUBLES
    plain = [draw(numbers) for _ in range(4)]
    mean, std = draw(st.floats(-1e9, 1e9)), draw(st.floats(0, 1e3))
    row = WindowRow(draw(st.integers(1, 1 << 40)), plain[0], plain[1], mean, std, plain[2], plain[3])
    if draw(st.booleans()):
        row = replace(row, sum=draw(numbers), time_mean=draw(st.floats(-1e9, 1e9)), quality=0.5)
    if draw(st.booleans()):
        rate = draw(st.one_of(st.none(), st.floats()))
        row = replace(row, increase=draw(numbers), rate=rate, resets=draw(st.integers(0, 9)))
    if draw(st.booleans()):
        row = replace(row, percentiles=((0.5, draw(st.floats())), (0.999, 2.0)))
    return row


@st.composite
def some_windows(draw: st.DrawFn) -> list[Window]:
    table = draw(st.lists(a_series(), min_size=1, max_size=4, unique=True))
    found = []
    for at in sorted(draw(st.sets(st.integers(0, 10**6), max_size=8))):
        inside = draw(st.lists(st.sampled_from(table), unique=True))
        rows = {series: draw(a_row(whole=series.kind in ("i64", "u64"))) for series in inside}
        revision = draw(st.sampled_from([0, 0, 7]))
        found.append(Window(at * 1_000, 10_000, ClockState(at % 2), rows, 1_000, revision))
    return found


def of_windows(windows: list[Window]) -> Counter[tuple[object, ...]]:
    return Counter(
        (s.name, s.unit, s.decimals, s.revision, w.start_ms, w.revision, *_comparable(row))
        for w in windows
        for s, row in w.rows.items()
    )


def _comparable(row: WindowRow) -> tuple[object, ...]:
    numbers = (row.count, row.min, row.max, row.mean, row.std, row.first, row.last, row.sum, row.time_mean)
    more = (row.quality, row.increase, row.rate, row.resets)
    percentiles = tuple((f"{100 * share:.6g}", _same(value)) for share, value in row.percentiles)
    return (*map(_same, numbers), *map(_same, more), percentiles)


def _same(value: float | None) -> object:
    return struct.pack("<d", value) if isinstance(value, float) and not math.isnan(value) else str(value)


def of_cloud(envelopes: list[Envelope]) -> Counter[tuple[object, ...]]:
    return Counter(
        (
            *(row.series, row.unit, row.decimals, row.revision, row.start_ms, row.correction),
            *map(_same, (row.n, row.min, row.max, row.mean, row.std, row.first, row.last, row.sum)),
            *map(_same, (row.time_mean, row.quality, row.increase, row.rate, row.resets)),
            tuple((f"{percent:.6g}", _same(value)) for percent, value in row.percentiles),
        )
        for envelope in envelopes
        for row in envelope.windows
    )


@given(st.lists(a_group(), max_size=5))
def test_samples_come_back_in_both_codecs(groups: list[Columns]) -> None:
    bodies, told = cases.compact_samples(groups, ClockState.HOLDOVER)
    found = [column for body in bodies for column in cloud.decode(body, told).columns]
    assert cases.read_columns(found) == expected(groups)
    bodies = cases.json_samples(groups, ClockState.HOLDOVER)
    found = [column for body in bodies for column in decoder.decode(body).columns]
    assert cases.read_columns(found) == expected(groups)


@given(st.lists(a_group(), min_size=1, max_size=2))
def test_two_decoders_agree_to_the_bit(groups: list[Columns]) -> None:
    bodies, told = cases.compact_samples(groups, ClockState.SYNCED)
    pages = {
        key: [[s.name, s.unit, s.kind, s.decimals, s.revision] for s in rows] for key, rows in told.items()
    }
    for body in bodies:
        mine, theirs = cloud.decode(body, told).columns, decode_compact(body, pages).columns
        assert [(c.series, list(c.times_ms)) for c in mine] == [(c.series, list(c.times)) for c in theirs]
        for a, b in zip(mine, theirs, strict=True):
            raws = [
                struct.unpack(">q", struct.pack(">d", r))[0] if isinstance(r, float) else r for r in a.raw
            ]
            same = [
                x == y or (isinstance(r, float) and r != r)
                for x, y, r in zip(raws, b.raws, a.raw, strict=True)
            ]
            assert all(same)


@given(some_windows())
def test_exact_windows_come_back_in_both_codecs(windows: list[Window]) -> None:
    bodies, told = cases.compact_windows(windows, rounded=False)
    assert of_cloud([cloud.decode(body, told) for body in bodies]) == of_windows(windows)
    bodies = cases.json_windows(windows, rounded=False)
    assert of_cloud([decoder.decode(body) for body in bodies]) == of_windows(windows)


STEPS = st.lists(st.integers(-(10**9), 10**9), min_size=1, max_size=30)


@given(st.lists(STEPS, min_size=1, max_size=30), st.integers(0, 6))
def test_rounded_means_are_off_by_half_a_step_and_extremes_by_nothing(
    rows: list[list[int]], decimals: int
) -> None:
    series = Series("a/b", "V", "f64", decimals)
    windows = []
    for at, raws in enumerate(rows):
        values = [raw / 10**decimals for raw in raws]
        mean = math.fsum(values) / len(values)
        std = math.sqrt(math.fsum((value - mean) ** 2 for value in values) / len(values))
        row = WindowRow(
            len(values), min(values), max(values), mean, std, values[0], values[-1], time_mean=mean
        )
        windows.append(Window(at * 10_000, 10_000, ClockState.SYNCED, {series: row}))
    bodies, told = cases.compact_windows(windows, rounded=True)
    binary = [row for body in bodies for row in cloud.decode(body, told).windows]
    plain = [
        row for body in cases.json_windows(windows, rounded=True) for row in decoder.decode(body).windows
    ]
    assert binary == plain
    assert len(binary) == len(windows)
    for window, got in zip(windows, sorted(binary, key=lambda row: row.start_ms), strict=True):
        want = window.rows[series]
        assert (got.n, got.min, got.max) == (want.count, want.min, want.max)
        assert (got.first, got.last) == (want.first, want.last)
        if got.mean_step is None:
            continue
        half = 0.5 * got.mean_step + 1e-9 * abs(want.mean)
        assert got.std is not None
        assert got.time_mean is not None
        assert abs(got.mean - want.mean) <= half
        assert abs(got.time_mean - want.mean) <= half
        assert abs(got.std - want.std) <= half


def test_a_mean_is_not_rounded_to_less_than_its_deviation_shows() -> None:
    row = WindowRow(100, 0.0, 1.0, 0.37, 0.483, 0.0, 1.0)
    found = columns_of(Series("a/on", decimals=0), [row], frozenset({"mean", "std"}), rounded=True)
    assert (found.digits, dict(found.numbers)) == (1, {"mean": [4], "std": [483]})


def test_an_envelope_without_its_schema_says_which_and_who_it_is() -> None:
    group = Columns((Series("a/b", "V", "f64", 1),), [1, 2], [[1.0, 2.0]], [None])
    (body,), told = cases.compact_samples([group], ClockState.SYNCED)
    head, ids = cloud.header(body)
    assert (head.kind, head.stream, head.epoch, head.seq) == ("samples", "backlog", "f" * 16, 2)
    assert ids == tuple(told)
    with pytest.raises(cloud.UnknownSchema) as caught:
        cloud.decode(body, {})
    assert caught.value.ids == ids


def test_the_header_names_the_epoch_before() -> None:
    part = header.Part("samples", ClockState.UNSYNCED, "", 0, header.COMPACT, b"", ())
    first = EnvelopeId("gw", "live", 0xAB, 1)
    head, _ = cloud.header(header.seal(part, first, (0xCD, 7)))
    assert head.prev is not None
    assert (head.prev.epoch, head.prev.seq, head.clock) == ("00000000000000cd", 7, "unsynced")
    assert cloud.header(header.seal(part, first, None))[0].prev is None
    longest = header.seal(part, EnvelopeId("gw", "live", (1 << 64) - 1, 1), ((1 << 64) - 1, (1 << 63) - 1))
    assert len(longest) <= header.COMPACT_HEADER_MAX_BYTES


def test_schemas_are_made_once_and_told_again_when_asked_but_not_at_once() -> None:
    table = [Series(f"device/tag-{i}", "V", "f64", 1) for i in range(300)]
    book = SchemaBook({})
    keys = book.add(table, header.room_bytes(cases.THING), 1_000)
    assert len(keys) > 1
    assert book.add(reversed(table), header.room_bytes(cases.THING), 2_000) == []
    wanted = [keys[0].hex(), "0" * 16]
    assert book.again(wanted, 1_000 + AGAIN_MS - 1) == []
    assert book.again(wanted, 1_000 + AGAIN_MS) == [keys[0]]
    again = SchemaBook({key: book.rows(key) for key in keys})
    assert again.places((table[299],)) == book.places((table[299],))
    assert again.again(wanted, 5) == [keys[0]]


def test_a_schema_of_another_content_is_refused_by_both() -> None:
    report = {"type": "schema", "id": "0" * 16, "series": [["a/b", "V", "f64", 1, 1]]}
    with pytest.raises(Undecodable, match="the rows' is"):
        cloud.schema(report)
    with pytest.raises(Exception, match="holds the rows of"):
        checker_schema(report)


def test_what_the_cloud_wants_is_read_and_anything_else_refused() -> None:
    frame = b'{"v":1,"stream":"live","epoch":"00000000000000ab","up_to":3,"received":[],"want":%b}'
    assert parse_acks(frame % b'["00000000000000cd"]')[0].want == ("00000000000000cd",)
    for wrong in (b'["cd"]', b"[7]", b'"x"'):
        with pytest.raises(Reject, match=r"want|schema"):
            parse_acks(frame % wrong)


def test_a_full_envelope_is_nearly_full() -> None:
    series = tuple(Series(f"meter-a/tag_{i:03}", "V", "f64", 1) for i in range(400))
    values = [[((i * 7919 + j * 104_729) % 65_536) / 10 for j in range(30)] for i in range(400)]
    group = Columns(series, list(range(0, 3000, 100)), values, [None] * 400)
    bodies, _ = cases.compact_samples([group], ClockState.SYNCED)
    room = header.room_bytes(cases.THING, header.COMPACT)
    assert all(len(body) > 0.9 * room for body in bodies[:-1])


def test_columns_of_more_rows_than_one_holds() -> None:
    group = Columns((Series("a/b", "", "i64"),), list(range(2_500)), [[7] * 2_500], [None])
    bodies, told = cases.compact_samples([group], ClockState.SYNCED)
    assert sum(len(c.raw) for body in bodies for c in cloud.decode(body, told).columns) == 2_500
    assert compact.MAX_ROWS < 2_500


@given(st.lists(st.tuples(*[DOUBLES] * 2, *[st.integers(-(1 << 63), (1 << 63) - 1)] * 2), min_size=1))
def test_rows_and_columns_become_the_same_bytes(rows: list[tuple[float, float, int, int]]) -> None:
    table = (Series("a/w", "V", "f64", 2), Series("a/x"), Series("a/y", "", "i64"), Series("b/z", "", "i64"))
    frames = [Frame(7 * i, (0, 1, 2, 3), row) for i, row in enumerate(rows)]
    batch = Batch("modbus", 1, 1, 1, b"", "", 0, ClockState.SYNCED, 0, frames)
    groups, unfit = from_batch(batch, table)
    assert not unfit
    assert isinstance(groups[0].values, Rows)
    lists = [Columns(g.series, g.times_ms, [list(v) for v in g.values], g.quality) for g in groups]
    assert cases.compact_samples(groups, ClockState.SYNCED) == cases.compact_samples(lists, ClockState.SYNCED)
