"""What a device has is found exactly, by reads that shrink, whatever it refuses."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headgate.modbus.commissioning.explore import ILLEGAL_FUNCTION, SILENT, Found, Heard, Refused, explore
from headgate.modbus.planner import Span


class Plain:
    """Has some addresses (the value is the address), refuses all others, and reads that are too long."""

    def __init__(self, has: set[int], *, longest: int = 125, code: int = 2) -> None:
        self.has, self.longest, self.code = has, longest, code
        self.asked: list[Span] = []

    def read(self, span: Span) -> Heard:
        self.asked.append(span)
        if span.count > self.longest:
            return Refused(3)
        wanted = range(span.address, span.end)
        return list(wanted) if self.has.issuperset(wanted) else Refused(self.code)


def explored(device: Plain, wanted: Span, max_count: int = 125) -> Found:
    found = Found()
    steps = explore(wanted, max_count, found)
    try:
        span = next(steps)
        while True:
            span = steps.send(device.read(span))
    except StopIteration:
        return found


@given(st.sets(st.integers(0, 299)), st.integers(1, 125), st.integers(0, 250), st.integers(1, 50))
def test_all_of_it_is_found_and_nothing_else(has: set[int], longest: int, start: int, count: int) -> None:
    device, wanted = Plain(has, longest=longest), Span(start, count)
    found = explored(device, wanted)
    values = {at + i: value for at, stretch in found.stretches.items() for i, value in enumerate(stretch)}
    assert values == {at: at for at in range(wanted.address, wanted.end) if at in has}
    refused = [at for span, code in found.refused for at in range(span.address, span.end) if code == 2]
    assert refused == [at for at in range(wanted.address, wanted.end) if at not in has]
    assert all(wanted.address <= span.address and span.end <= wanted.end for span in device.asked)
    assert len(device.asked) <= 2 * wanted.count


def test_stretches_and_refusals_are_as_long_as_they_can_be() -> None:
    found = explored(Plain({*range(3, 140), 150}), Span(0, 160))
    assert {at: len(values) for at, values in found.stretches.items()} == {3: 137, 150: 1}
    assert found.refused == [(Span(0, 3), 2), (Span(140, 10), 2), (Span(151, 9), 2)]


def test_a_device_that_takes_short_reads_alone_is_not_asked_for_long_ones_again_and_again() -> None:
    device = Plain(set(range(2000)), longest=60)
    found = explored(device, Span(0, 2000))
    assert len(found.stretches[0]) == 2000
    assert sum(span.count > 60 for span in device.asked) <= 6


def test_silence_is_not_asked_again() -> None:
    device = Plain(set(), code=SILENT)
    assert explored(device, Span(0, 250)).refused == [(Span(0, 250), SILENT)]
    assert len(device.asked) == 2


def test_a_table_that_is_not_there_is_given_up_at_once() -> None:
    device = Plain(set(), code=ILLEGAL_FUNCTION)
    assert explored(device, Span(10, 990)).refused == [(Span(10, 990), ILLEGAL_FUNCTION)]
    assert len(device.asked) == 1
