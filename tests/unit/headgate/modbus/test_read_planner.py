"""The planner's reads: all covered, none split, within limits, and the fewest there can be."""

from __future__ import annotations

import functools
import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from headgate.modbus.planner import Block, Span, halves, plan_reads

spans = st.builds(Span, st.integers(0, 400), st.sampled_from([1, 2, 4]))


@given(st.lists(spans, max_size=60), st.integers(4, 125), st.integers(0, 40))
def test_reads_cover_every_value_whole_within_the_limits(
    spans: list[Span], max_count: int, max_gap: int
) -> None:
    blocks = plan_reads(spans, max_count=max_count, max_gap=max_gap)
    assert sorted(i for block in blocks for i in block.members) == list(range(len(spans)))
    assert len(blocks) <= len(spans)
    for block in blocks:
        assert 0 < block.count <= max_count
        touched = set()
        for i in block.members:
            assert block.address <= spans[i].address
            assert spans[i].address + spans[i].count <= block.address + block.count
            touched |= set(range(spans[i].address, spans[i].address + spans[i].count))
        gaps = [b - a - 1 for a, b in itertools.pairwise(sorted(touched))]
        assert max(gaps, default=0) <= max_gap
        assert {block.address, block.address + block.count - 1} <= touched


few = st.lists(st.builds(Span, st.integers(0, 40), st.sampled_from([1, 2, 4])), min_size=1, max_size=14)
walls = st.lists(st.builds(Span, st.integers(0, 44), st.integers(1, 6)), max_size=3)


@settings(max_examples=600)
@given(few, walls, st.integers(4, 16), st.integers(0, 8))
def test_no_other_cover_needs_fewer_reads_or_registers(
    spans: list[Span], walls: list[Span], max_count: int, max_gap: int
) -> None:
    """Against every set of intervals there is: the cost is reads, then registers."""
    spans = [span for span in spans if not any(meets(span, wall) for wall in walls)]
    blocks = plan_reads(spans, max_count=max_count, max_gap=max_gap, forbidden=walls)
    assert sorted(i for block in blocks for i in block.members) == list(range(len(spans)))
    assert not any(meets(Span(b.address, b.count), wall) for b in blocks for wall in walls)
    cost = (len(blocks), sum(block.count for block in blocks))
    assert cost == cheapest_cover(frozenset(spans), tuple(walls), max_count, max_gap)


def meets(a: Span, b: Span) -> bool:
    return bool(set(range(a.address, a.address + a.count)) & set(range(b.address, b.address + b.count)))


def cheapest_cover(
    spans: frozenset[Span], walls: tuple[Span, ...], max_count: int, max_gap: int
) -> tuple[int, int]:
    """By trying, for the lowest span, every set of spans that one read with it may cover."""
    allowed: dict[frozenset[Span], int] = {}
    for start, end in itertools.product(
        {span.address for span in spans}, {span.address + span.count for span in spans}
    ):
        inside = frozenset(s for s in spans if start <= s.address and s.address + s.count <= end)
        if inside and (size := read_size(inside, walls, max_count, max_gap)):
            allowed[inside] = size

    @functools.cache
    def best(left: frozenset[Span]) -> tuple[int, int]:
        if not left:
            return 0, 0
        lowest = min(left, key=lambda s: (s.address, s.count))
        options = []
        for inside, size in allowed.items():
            if lowest in inside:
                reads, registers = best(left - inside)
                options.append((reads + 1, registers + size))
        return min(options)

    return best(spans)


def read_size(inside: frozenset[Span], walls: tuple[Span, ...], max_count: int, max_gap: int) -> int:
    """Registers of the one read for these spans; 0 where there may be none."""
    touched = sorted({r for span in inside for r in range(span.address, span.address + span.count)})
    size = touched[-1] - touched[0] + 1
    gaps = [b - a - 1 for a, b in itertools.pairwise(touched)]
    crossed = any(meets(Span(touched[0], size), wall) for wall in walls)
    return 0 if size > max_count or max(gaps, default=0) > max_gap or crossed else size


@given(st.lists(spans, min_size=2, max_size=40, unique=True))
def test_halves_part_a_read_in_two_at_its_widest_gap(spans: list[Span]) -> None:
    (block,) = plan_reads(spans, max_count=1_000, max_gap=1_000)
    left, right, between = halves(spans, block)
    assert (*left.members, *right.members) == block.members
    assert left.members
    assert right.members
    touched = {r for span in spans for r in range(span.address, span.address + span.count)}
    gaps = [b - a - 1 for a, b in itertools.pairwise(sorted(touched))]
    assert (between.count if between else 0) == max(gaps, default=0)
    if between:
        assert not touched & set(range(between.address, between.address + between.count))
        assert left.address + left.count == between.address
        assert between.address + between.count == right.address


def test_without_a_gap_halves_part_a_read_in_its_middle() -> None:
    tags = [Span(i, 1) for i in range(8)]
    (block,) = plan_reads(tags, max_count=125, max_gap=0)
    assert halves(tags, block) == (Block(0, 4, (0, 1, 2, 3)), Block(4, 4, (4, 5, 6, 7)), None)


def test_a_value_in_a_forbidden_range_is_refused() -> None:
    with pytest.raises(ValueError, match="a value at 4 lies in a forbidden range"):
        plan_reads([Span(4, 2)], max_count=125, max_gap=0, forbidden=[Span(5, 1)])


def test_a_hundred_contiguous_tags_are_one_read() -> None:
    tags = [Span(100 + i, 1) for i in range(100)]
    assert plan_reads(tags, max_count=125, max_gap=0) == [Block(100, 100, tuple(range(100)))]


def test_a_value_at_the_limit_is_not_split() -> None:
    tags = [*(Span(i, 1) for i in range(124)), Span(124, 2)]
    blocks = plan_reads(tags, max_count=125, max_gap=0)
    assert [(block.address, block.count) for block in blocks] == [(0, 124), (124, 2)]


def test_a_value_longer_than_a_read_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        plan_reads([Span(0, 4)], max_count=2, max_gap=0)
