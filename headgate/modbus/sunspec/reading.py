"""Reads of SunSpec values: each proves its model, and comes with the scale factor of its moment; pure.

A model's id and length stand before its points. A read that starts there shows with every answer that the
registers still are what they were taken for. Scale factors may change at any time (and do: SolarEdge and
Fronius inverters choose theirs by the size of the value), so a value and its scale factor are of one answer.
Where a model is longer than a read, scale factors are read before and after, and must not have changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from headgate.modbus.codec import Decode, Field, make_decoder
from headgate.modbus.planner import Span, plan_reads
from headgate.modbus.sunspec.walk import HEAD
from headgate.modbus.tags import Head, Tag
from headgate.modbus.types import EXACT
from headgate.model import Quality, Value

MAX_POWER = 10
"""Of ten, either way (Device Information Model Specification 1.1, 4.2.8)."""

_RATIOS = {
    power & 0xFFFF: (10 ** max(power, 0), 10 ** max(-power, 0)) for power in range(-MAX_POWER, MAX_POWER + 1)
}
"""What to multiply with and divide by, for the register of a scale factor."""


@dataclass(frozen=True, slots=True)
class Proven:
    """One reading: spans that are read in this order, whose registers are decoded as one row.

    `main` is the place of the values among them; `heads` are offsets in the row with what must be there.
    """

    spans: tuple[Span, ...]
    main: int
    members: tuple[int, ...]
    heads: tuple[tuple[int, int, int], ...]
    decode: Decode

    def holds(self, registers: Sequence[int]) -> bool:
        """Whether the models are still there."""
        return all(
            registers[at] == number and registers[at + 1] == length for at, number, length in self.heads
        )


def plan_proven(tags: Sequence[Tag], *, max_count: int, max_gap: int, together: bool = True) -> list[Proven]:
    """The readings for some tags of one table, all with a head. `together`: models share reads.

    Values near their model's head are read from there on, in one piece; each further stretch with the head
    and its scale factors before it, and the scale factors after it again.
    """
    near: dict[Head, list[int]] = {}
    far: dict[Head, list[int]] = {}
    for i, tag in enumerate(tags):
        head = _head(tag)
        (near if _end(tag) - head.address <= max_count else far).setdefault(head, []).append(i)
    heads = list(near)
    spans = [Span(head.address, max(_end(tags[i]) for i in near[head]) - head.address) for head in heads]
    found = []
    # A gap of less than nothing keeps models apart that touch.
    for block in plan_reads(spans, max_count=max_count, max_gap=max_gap if together else -1):
        members = [i for at in block.members for i in near[heads[at]]]
        found.append(_reading(tags, members, (), Span(block.address, block.count), ()))
    for head, members in far.items():
        values = [Span(tags[i].address, tags[i].count) for i in members]
        # A model's registers can all be read, and each reading of these takes two or three transactions.
        for block in plan_reads(values, max_count=max_count, max_gap=max_count):
            here = [members[at] for at in block.members]
            factors = {tags[i].scale for i in here} - {None}
            scales = [Span(at, 1) for at in factors if at is not None]
            before = _covering([Span(head.address, HEAD), *scales], max_count)
            after = _covering(scales, max_count)
            found.append(_reading(tags, here, before, Span(block.address, block.count), after))
    return found


def _reading(
    tags: Sequence[Tag], members: Sequence[int], before: Sequence[Span], main: Span, after: Sequence[Span]
) -> Proven:
    """One reading of some tags, with what is read around it."""
    spans = (*before, main, *after)
    starts = [sum(span.count for span in spans[:i]) for i in range(len(spans) + 1)]
    place = len(before)

    def offset(address: int, among: range) -> int:
        return next(starts[i] + address - spans[i].address for i in among if _lies(address, spans[i]))

    first, last = range(place + 1), range(place + 1, len(spans))
    fields, scales = [], []
    for at, i in enumerate(members):
        tag = tags[i]
        fields.append(Field(starts[place] + tag.address - main.address, tag.form))
        if tag.scale is not None:
            again = offset(tag.scale, last) if after else None
            scales.append(_Scale(at, offset(tag.scale, first), again, tag.form.register_type.bits > 53))
    heads = {_head(tags[i]) for i in members}
    proofs = [(offset(head.address, first), head.id, head.length) for head in heads]
    decode = make_decoder(fields, starts[-1])
    return Proven(spans, place, tuple(members), tuple(sorted(proofs)), _scaled(decode, scales))


@dataclass(frozen=True, slots=True)
class _Scale:
    """Of the value at place `value`: the offset of its scale factor, and of that read again, if it was.

    `wide`: the integer may be longer than a double.
    """

    value: int
    offset: int
    again: int | None
    wide: bool


def _scaled(decode: Decode, scales: Sequence[_Scale]) -> Decode:
    """A decoder of integers, and then their scale factors.

    No value, as bad_value: the scale factor is not implemented, or none. No value, as uncertain: it changed
    while it was read. Uncertain: an integer beyond 2^53, which a double does not keep exactly.
    """
    if not scales:
        return decode

    def scaled(registers: Sequence[int]) -> tuple[Sequence[Value], Sequence[int]]:
        raw, marks = decode(registers)
        values, quality = list(raw), list(marks) if marks else [0] * len(raw)
        for scale in scales:
            number = values[scale.value]
            if not isinstance(number, int):
                continue
            factor = registers[scale.offset]
            if scale.again is not None and registers[scale.again] != factor:
                values[scale.value], quality[scale.value] = None, int(Quality.UNCERTAIN)
            elif (ratio := _RATIOS.get(factor)) is None:
                values[scale.value], quality[scale.value] = None, int(Quality.BAD_VALUE)
            else:
                # Integers are exact up to the division, which Python rounds once.
                values[scale.value] = number * ratio[0] / ratio[1]
                if scale.wide and not -EXACT <= number <= EXACT:
                    quality[scale.value] = int(Quality.UNCERTAIN)
        return values, quality if any(quality) else ()

    return scaled


def _covering(spans: Sequence[Span], max_count: int) -> tuple[Span, ...]:
    """The fewest reads that have all of the spans."""
    blocks = plan_reads(spans, max_count=max_count, max_gap=max_count)
    return tuple(Span(block.address, block.count) for block in blocks)


def _head(tag: Tag) -> Head:
    if tag.head is None:
        raise ValueError(f"{tag.name} is of no model")
    return tag.head


def _end(tag: Tag) -> int:
    """Behind what is read of it: the value and its scale factor."""
    return max(tag.address + tag.count, 0 if tag.scale is None else tag.scale + 1)


def _lies(address: int, span: Span) -> bool:
    return span.address <= address < span.end
