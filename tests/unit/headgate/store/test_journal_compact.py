from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.errors import Reject
from headgate.model import Batch, ClockState, Frame, Series, Value
from headgate.store.compact import Compactor, Expander

TABLE = tuple(Series(f"a/t{i}", "V", "f64", None if i % 3 == 0 else i % 4) for i in range(12))
U64, I64 = st.integers(0, (1 << 64) - 1), st.integers(-(1 << 63), (1 << 63) - 1)
VALUES: st.SearchStrategy[Value] = st.one_of(
    st.none(), st.floats(), I64, st.integers(0, 70_000), U64, st.booleans(), st.text(max_size=5),
    st.decimals(-1000, 1000, places=2).map(float),
)  # fmt: skip


@st.composite
def a_frame(draw: st.DrawFn) -> Frame:
    series = tuple(draw(st.lists(st.integers(0, 11), min_size=1, max_size=6, unique=True)))
    values = tuple(draw(st.lists(VALUES, min_size=len(series), max_size=len(series))))
    codes = st.lists(st.integers(0, 5), min_size=len(series), max_size=len(series)).map(tuple)
    quality = draw(st.one_of(st.just(()), codes))
    return Frame(draw(st.integers(0, 1 << 45)), series, values, quality if any(quality) else ())


@st.composite
def a_batch(draw: st.DrawFn) -> Batch:
    return Batch(
        bridge=draw(st.sampled_from(["modbus", "ble", "ünï"])),
        run_id=draw(st.one_of(st.just(7), U64)),
        seq=draw(st.integers(1, 1 << 62)),
        oldest_seq=draw(st.integers(0, 1 << 62)),
        dictionary=draw(st.sampled_from([b"\1" * 16, b"\2" * 16])),
        machine_boot_id=draw(st.sampled_from(["", "b4b5"])),
        utc_offset_ms=draw(st.one_of(I64, st.just(1_763_685_600_000))),
        clock=draw(st.sampled_from(ClockState)),
        dropped=draw(st.one_of(st.just(0), st.integers(0, 1 << 62))),
        frames=draw(st.lists(a_frame(), max_size=6)),
    )


def compactor() -> Compactor:
    return Compactor(lambda _, series: [TABLE[i].decimals for i in series])


def as_text(batches: list[Batch]) -> list[str]:
    """Tells 1, 1.0, True, -0.0 and NaN apart."""
    return [repr(batch) for batch in batches]


@given(st.lists(st.lists(a_batch(), min_size=1, max_size=5), min_size=1, max_size=4))
def test_batches_come_back_exactly_commit_after_commit(commits: list[list[Batch]]) -> None:
    one, other = compactor(), Expander()
    for i, batches in enumerate(commits):
        if i == 2:
            one.restart()
        payload = one.encode(batches)
        assert len(payload) >= len(batches)
        assert as_text(other.decode(payload)) == as_text(batches)


def readings(seq: int, frames: int) -> list[Batch]:
    return [
        Batch(
            "modbus", 7, seq * 10 + device, 1, b"\1" * 16, "b" * 36, 0, ClockState.SYNCED, 0,
            [
                Frame(
                    seq * 1_000 + 20 * row, (1, 2, 5, 7, 10, 11),
                    tuple(round((seq * frames + row + i * i) / 10, 1) for i in range(6)),
                )
                for row in range(frames)
            ],
        )
        for device in range(10)
    ]  # fmt: skip


@pytest.mark.parametrize(("frames", "first", "then"), [(1, 5.0, 2.5), (50, 1.2, 0.7)])
def test_records_are_small(frames: int, first: float, then: float) -> None:
    one = compactor()
    sizes = [len(one.encode(readings(seq, frames))) / (10 * frames * 6) for seq in (3, 4, 5)]
    assert sizes[0] < first
    assert max(sizes[1:]) < then


def test_a_value_with_more_decimals_than_its_series_costs_its_column_only() -> None:
    one, odd = compactor(), readings(3, 50)
    before = len(one.encode(odd))
    frame = odd[4].frames[3]
    odd[4].frames[3] = Frame(frame.boot_ms, frame.series, (0.1 + 0.2, *frame.values[1:]))  # type: ignore[index]  # a list
    one.restart()
    payload = one.encode(odd)
    assert as_text(Expander().decode(payload)) == as_text(odd)
    assert len(payload) < before * 3


def test_what_goes_on_from_a_damaged_record_is_refused_up_to_one_that_starts_anew() -> None:
    one, other = compactor(), Expander()
    first, second, third = (one.encode(readings(seq, 1)) for seq in (1, 2, 3))
    one.restart()
    anew = one.encode(readings(4, 1))
    other.decode(first)
    with pytest.raises(Reject):
        other.decode(second[:-5])
    with pytest.raises(Reject, match="goes on from one that cannot be read"):
        other.decode(third)
    assert as_text(other.decode(anew)) == as_text(readings(4, 1))
    with pytest.raises(Reject, match="goes on from one that cannot be read"):
        Expander().decode(second)


@given(st.binary(max_size=80), st.integers(0, 200))
def test_a_damaged_record_is_refused_or_read(noise: bytes, at: int) -> None:
    whole = compactor().encode(readings(1, 2))
    for payload in (noise, whole[:at] + noise, whole[: len(whole) - 1 - at % len(whole)]):
        try:
            Expander().decode(payload)
        except Reject as error:
            assert "damaged record of batches" in str(error)
