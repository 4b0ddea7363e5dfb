"""The planner's reads: all covered, none split, within limits, and the fewest there can be."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headgate.modbus.planner import Block, Span, plan_reads

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


@given(
    st.lists(st.builds(Span, st.integers(0, 24), st.sampled_from([1, 2, 4])), min_size=1, max_size=6),
    st.integers(4, 12),
    st.integers(0, 6),
)
def test_no_partition_whatever_needs_fewer_reads_or_registers(
    spans: list[Span], max_count: int, max_gap: int
) -> None:
    blocks = plan_reads(spans, max_count=max_count, max_gap=max_gap)
    cost = (len(blocks), sum(block.count for block in blocks))
    best = min(
        (len(parts), sum(parts))
        for partition in partitions(list(range(len(spans))))
        if (parts := [size_of([spans[i] for i in part], max_count, max_gap) for part in partition])
        and all(parts)
    )
    assert cost == best


def partitions(items: list[int]) -> list[list[list[int]]]:
    """Every way to part a list into groups."""
    if not items:
        return [[]]
    first, rest = items[0], items[1:]
    found = []
    for partition in partitions(rest):
        found.append([[first], *partition])
        found += [[*partition[:i], [first, *group], *partition[i + 1 :]] for i, group in enumerate(partition)]
    return found


def size_of(group: list[Span], max_count: int, max_gap: int) -> int:
    """Registers of one read for a group; 0 when no read may take it."""
    touched = sorted({r for span in group for r in range(span.address, span.address + span.count)})
    size = touched[-1] - touched[0] + 1
    gaps = [b - a - 1 for a, b in itertools.pairwise(touched)]
    return size if size <= max_count and max(gaps, default=0) <= max_gap else 0


def test_a_hundred_contiguous_tags_are_one_read() -> None:
    tags = [Span(100 + i, 1) for i in range(100)]
    assert plan_reads(tags, max_count=125, max_gap=0) == [Block(100, 100, tuple(range(100)))]


def test_a_value_at_the_limit_is_not_split() -> None:
    tags = [*(Span(i, 1) for i in range(124)), Span(124, 2)]
    blocks = plan_reads(tags, max_count=125, max_gap=0)
    assert [(block.address, block.count) for block in blocks] == [(0, 1), (1, 125)] or [
        (block.address, block.count) for block in blocks
    ] == [(0, 124), (124, 2)]


def test_a_value_longer_than_a_read_is_refused() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        plan_reads([Span(0, 4)], max_count=2, max_gap=0)
