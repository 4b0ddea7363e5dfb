"""The batch codec: exact round trips, splits under the limit, and a clear refusal of anything else."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.batch import Encoder, decode, encode
from headgate.errors import Reject
from headgate.model import Batch, ClockState, Frame, Quality, Value

KINDS: dict[str, st.SearchStrategy[float | int | str]] = {
    "f64": st.floats(),
    "i64": st.integers(-(1 << 63), (1 << 63) - 1),
    "u64": st.integers(0, (1 << 64) - 1),
    "bool": st.integers(0, 1),
    "text": st.text(max_size=40),
    "mixed": st.one_of(st.integers(-(1 << 80), 1 << 80), st.floats(allow_nan=False), st.text(max_size=5)),
}


@st.composite
def frames(draw: st.DrawFn) -> list[Frame]:
    """Frames of a few shapes; the times are distinct so that their order is defined."""
    shapes = []
    for n in range(draw(st.integers(1, 3))):
        kinds = draw(st.lists(st.sampled_from(sorted(KINDS)), min_size=1, max_size=12))
        shapes.append((tuple(range(n * 100, n * 100 + len(kinds))), kinds))
    times = draw(st.lists(st.integers(0, 1 << 50), unique=True, max_size=20))
    made = []
    for t in sorted(times):
        series, kinds = draw(st.sampled_from(shapes))
        values: tuple[Value, ...] = tuple(draw(st.none() | KINDS[kind]) for kind in kinds)
        quality = draw(st.just(()) | st.tuples(*[st.sampled_from([int(q) for q in Quality])] * len(kinds)))
        made.append(Frame(t, series, values, quality))
    return made


def batch_of(made: list[Frame], **changes: object) -> Batch:
    batch = Batch("modbus", 7, 41, 40, b"d" * 16, "a-boot-id", 1_700_000_000_000, ClockState.SYNCED, 3, made)
    return replace(batch, **changes)  # type: ignore[arg-type]


def same(a: object, b: object) -> bool:
    """Equal in value and in type, NaN equal to NaN, -0.0 apart from 0.0."""
    if isinstance(a, float) and isinstance(b, float):
        return (math.isnan(a) and math.isnan(b)) or (a == b and math.copysign(1, a) == math.copysign(1, b))
    return type(a) is type(b) and a == b


def plain(frame: Frame) -> tuple[int, tuple[int, ...], tuple[int, ...]]:
    return frame.boot_ms, tuple(frame.series), tuple(frame.quality) if any(frame.quality) else ()


@given(frames())
def test_what_goes_in_comes_out(made: list[Frame]) -> None:
    (wire,) = encode(batch_of(made), 1 << 20)
    back = decode(wire)
    assert replace(back, frames=()) == batch_of([], frames=())
    assert [
        (f.boot_ms, tuple(f.series), tuple(f.quality) if any(f.quality) else ()) for f in back.frames
    ] == [plain(f) for f in made]
    for ours, theirs in zip(back.frames, made, strict=True):
        assert all(same(a, b) for a, b in zip(ours.values, theirs.values, strict=True))


@given(frames(), st.integers(600, 3_000))
def test_splits_stay_under_the_limit_and_lose_nothing(made: list[Frame], limit_bytes: int) -> None:
    wires = encode(batch_of(made), limit_bytes)
    assert all(len(wire) <= limit_bytes for wire in wires)
    parts = [decode(wire) for wire in wires]
    assert [part.seq for part in parts] == list(range(41, 41 + len(parts)))
    assert [part.dropped for part in parts] == [3] + [0] * (len(parts) - 1)
    samples = sorted((f.boot_ms, s) for part in parts for f in part.frames for s in f.series)
    assert samples == sorted((f.boot_ms, s) for f in made for s in f.series)


def test_a_frame_larger_than_a_message_is_cut_by_series() -> None:
    wide = Frame(5, tuple(range(2_000)), tuple(float(n) for n in range(2_000)))
    parts = [decode(wire) for wire in encode(batch_of([wide]))]
    assert len(parts) >= 3
    assert [s for part in parts for f in part.frames for s in f.series] == list(range(2_000))


def test_a_value_larger_than_a_message_is_refused() -> None:
    with pytest.raises(Reject, match=r"a single value needs .* the limit is 7000 B"):
        encode(batch_of([Frame(5, (0,), ("x" * 8_000,))]))


def test_an_unknown_version_is_refused_never_guessed() -> None:
    (wire,) = encode(batch_of([]))
    with pytest.raises(Reject, match=r"batch of version 9; .* update headgate\.Hub first"):
        decode(wire[:3] + b"\x09" + wire[4:])


@given(st.data())
def test_a_cut_batch_is_refused(data: st.DataObject) -> None:
    (wire,) = encode(batch_of([Frame(5, (0, 1), (1.5, "text"), (0, 4)), Frame(9, (0, 1), (None, "b"))]))
    cut = data.draw(st.integers(0, len(wire) - 1))
    with pytest.raises(Reject):
        decode(wire[:cut])
    with pytest.raises(Reject, match="B too many"):
        decode(wire + b"\0")


@given(st.binary(max_size=300), st.integers(0, 200))
def test_noise_is_refused_or_read_but_never_breaks(noise: bytes, at: int) -> None:
    (wire,) = encode(batch_of([Frame(5, (0, 1), (1.5, "text"), (0, 4)), Frame(9, (3,), (70_000,))]))
    for dirty in (noise, wire[:at] + noise + wire[at + len(noise) :]):
        try:
            decode(dirty)
        except Reject as error:
            assert "batch" in str(error)


def test_shapes_are_told_apart_and_known_again_whatever_holds_them() -> None:
    encoder = Encoder()
    kept = (0, 1)
    for t in range(3):
        made = [Frame(t, kept, (1, 2)), Frame(t + 10, [0, 1], (3, 4)), Frame(t + 20, (0, 2 + t), (5, 6))]
        (wire,) = encoder.encode(batch_of(made))
        assert [(tuple(f.series), f.values) for f in decode(wire).frames] == [
            ((0, 1), (1, 2)),
            ((0, 1), (3, 4)),
            ((0, 2 + t), (5, 6)),
        ]
