"""Finding a SunSpec map and walking its models: what is asked, and what is made of the answers."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.modbus.planner import Span
from headgate.modbus.sunspec.walk import (
    BASES,
    END,
    MARK,
    MAX_MODELS,
    Identity,
    ModelAt,
    NoModel,
    NotSunSpec,
    carried,
    carried_at_once,
    discover,
    find,
    longest_read,
    read_whole,
    walk,
)

Read = Callable[[Span], Sequence[int] | None]

# pysunspec2 1.3.7, sunspec2/tests/test_modbus_client.py, TestSunSpecModbusClientPoint.test_read: the device
# behind its scan, whose bytes come in the order of its reads; models 1 and 126 and an end without a length.
PUBLISHED = (
    b"SunS"
    b"\x00\x01\x00B"
    + b"SunSpecTest".ljust(32, b"\0")
    + b"TestDevice-1".ljust(32, b"\0")
    + b"opt_a_b_c".ljust(16, b"\0")
    + b"1.2.3".ljust(16, b"\0")
    + b"sn-123456789".ljust(32, b"\0")
    + b"\x00\x01\x00\x00"
    + b"\x00~\x00@\x00\x03"
    + b"\xff" * 126
    + b"\xff\xff"
)


def memory(base: int, registers: Sequence[int], asked: list[Span] | None = None, most: int = 125) -> Read:
    """A device that has these registers from `base` on, refuses all others, and reads longer than `most`."""

    def read(span: Span) -> Sequence[int] | None:
        if asked is not None:
            asked.append(span)
        first = span.address - base
        if first < 0 or first + span.count > len(registers) or span.count > most:
            return None
        return registers[first : first + span.count]

    return read


def words(data: bytes) -> list[int]:
    return list(struct.unpack(f">{len(data) // 2}H", data))


def models_of(*models: tuple[int, int], end: Sequence[int] = (END, 0)) -> list[int]:
    """A map of models (id, length), all of whose points are 7."""
    registers = list(MARK)
    for number, length in models:
        registers += [number, length, *[7] * length]
    return [*registers, *end]


@pytest.mark.parametrize("base", BASES)
def test_a_published_device_is_found_at_each_base(base: int) -> None:
    asked: list[Span] = []
    found = carried_at_once(discover(), memory(base, words(PUBLISHED), asked))
    assert [(model.id, model.address - base, model.length) for model in found.models] == [
        (1, 2, 66),
        (126, 70, 64),
    ]
    assert (found.base, found.ended) == (base, True)
    assert found.identity == Identity("SunSpecTest", "TestDevice-1", "opt_a_b_c", "1.2.3", "sn-123456789")
    assert str(found.identity) == "SunSpecTest TestDevice-1 (version 1.2.3, serial sn-123456789)"
    assert asked[: BASES.index(base) + 1] == [Span(each, 2) for each in BASES[: BASES.index(base) + 1]]


def test_what_is_no_sunspec_device_is_told_with_what_it_said() -> None:
    with pytest.raises(NotSunSpec, match="40000: refused, 0: 0001 0002, 50000: refused"):
        carried_at_once(find(), memory(0, [1, 2, 3]))


def test_the_end_may_be_missing_or_without_its_length() -> None:
    for end, ended in (((END, 0), True), ((END,), True), ((), False)):
        found = carried_at_once(walk(0), memory(0, models_of((1, 66), (103, 50), end=end)))
        assert [model.id for model in found.models] == [1, 103]
        assert found.ended is ended


@pytest.mark.parametrize(
    "registers",
    [
        models_of(),
        models_of((0, 5)),
        [*models_of((1, 66), end=()), 5, 0xFFF0],
        [*MARK, *[5, 0] * (MAX_MODELS + 1)],
    ],
    ids=["nothing behind it", "id 0", "beyond the last address", "no end in sight"],
)
def test_a_map_that_is_none(registers: list[int]) -> None:
    with pytest.raises(NotSunSpec):
        carried_at_once(walk(40_000), memory(40_000, registers))


def test_a_model_without_points_is_walked_over() -> None:
    found = carried_at_once(walk(0), memory(0, models_of((1, 65), (7, 0), (160, 48))))
    assert [(model.id, model.address) for model in found.models] == [(1, 2), (7, 69), (160, 71)]


@given(
    st.lists(st.tuples(st.integers(1, END - 1), st.integers(0, 400)), min_size=1, max_size=20),
    st.sampled_from(BASES),
)
def test_every_map_is_walked_as_it_lies(models: list[tuple[int, int]], base: int) -> None:
    found = carried_at_once(discover((base,)), memory(base, models_of(*models)))
    assert [(model.id, model.length) for model in found.models] == models
    address = base + 2
    for model in found.models:
        assert model.address == address
        address = model.span.end


@given(st.binary(max_size=600), st.integers(1, 125))
def test_whatever_a_device_says_ends_in_a_map_or_a_refusal(data: bytes, most: int) -> None:
    registers = [*MARK, *words(data[: len(data) // 2 * 2])]
    try:
        found = carried_at_once(walk(0), memory(0, registers, most=most))
    except NotSunSpec:
        return
    assert 0 < len(found.models) <= MAX_MODELS


@given(st.integers(1, 70), st.integers(1, 125))
def test_a_range_is_read_in_the_pieces_that_the_device_takes(count: int, most: int) -> None:
    registers = list(range(count))
    assert carried_at_once(read_whole(Span(0, count)), memory(0, registers, most=most)) == registers
    assert carried_at_once(read_whole(Span(1, count)), memory(0, registers, most=most)) is None


@given(st.integers(2, 125), st.integers(8, 125))
def test_the_longest_read_is_one_that_the_device_takes(most: int, configured: int) -> None:
    models = (ModelAt(1, 2, 66), ModelAt(103, 70, 50), ModelAt(203, 122, 105))
    read = memory(0, models_of(*((model.id, model.length) for model in models)), most=most)
    limit = carried_at_once(longest_read(models, configured), read)
    assert limit == configured or limit <= most
    assert limit <= configured
    assert min(107, configured) <= most or 2 * limit + 1 > most


def test_a_device_that_refuses_its_own_models_is_told() -> None:
    with pytest.raises(NoModel, match="model 103 at 70"):
        carried_at_once(longest_read([ModelAt(103, 70, 50)], 125), lambda span: None)


async def test_a_search_is_carried_out_by_whatever_reads() -> None:
    read = memory(0, words(PUBLISHED))

    async def later(span: Span) -> Sequence[int] | None:
        return read(span)

    assert await carried(discover(), later) == carried_at_once(discover(), read)
