"""Finds out what of a range a device has, by reads that shrink where it refuses; pure."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass, field

from headgate.modbus.planner import Span

ILLEGAL_FUNCTION = 1
SHRINK_AFTER = 2
"""After so many reads that were refused while both their halves were answered, none is longer than those."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A device refused a read with this exception code; `SILENT`: it did not answer."""

    code: int


SILENT = 0
Heard = Sequence[int] | Refused
"""What became of a read: its values, or why there are none."""


@dataclass(slots=True)
class Found:
    """What a table has: stretches of values by their first address, and what was refused, with the code."""

    stretches: dict[int, list[int]] = field(default_factory=dict)
    refused: list[tuple[Span, int]] = field(default_factory=list)
    _end: int = -1
    _first: int = -1

    def add(self, span: Span, values: Sequence[int]) -> None:
        """Values, in the order of their addresses."""
        if span.address != self._end:
            self._first = span.address
            self.stretches[self._first] = []
        self.stretches[self._first].extend(values)
        self._end = span.end

    def refuse(self, span: Span, code: int) -> None:
        """A refusal, in the order of the addresses."""
        if self.refused and self.refused[-1][0].end == span.address and self.refused[-1][1] == code:
            former = self.refused.pop()[0]
            span = Span(former.address, former.count + span.count)
        self.refused.append((span, code))


def explore(wanted: Span, max_count: int, found: Found) -> Generator[Span, Heard, None]:
    """Yields what to read next and is sent what became of it; `found` grows meanwhile.

    A refused read is parted in halves down to single registers. What is not answered at all is not parted:
    each try costs a time-out. A table whose function the device does not know is given up.
    """
    pending = [wanted]
    limit, whole = max_count, 0
    while pending:
        span = pending.pop()
        if span.count > limit:
            rest = Span(span.address + limit, span.count - limit)
            pending += [rest, Span(span.address, limit)]
            continue
        heard = yield span
        if not isinstance(heard, Refused):
            found.add(span, heard)
            continue
        if heard.code == ILLEGAL_FUNCTION:
            found.refuse(Span(span.address, wanted.end - span.address), heard.code)
            return
        if heard.code == SILENT or span.count == 1:
            found.refuse(span, heard.code)
            continue
        left, right = _halves(span)
        heard = yield left
        if isinstance(heard, Refused):
            pending.append(right)
            _settle(found, pending, left, heard)
            continue
        found.add(left, heard)
        heard = yield right
        if isinstance(heard, Refused):
            _settle(found, pending, right, heard)
            continue
        found.add(right, heard)
        whole += 1
        if whole >= SHRINK_AFTER:
            limit = min(limit, left.count)


def _settle(found: Found, pending: list[Span], span: Span, heard: Refused) -> None:
    """A refused half: final, or to be parted in turn."""
    if heard.code == SILENT or span.count == 1:
        found.refuse(span, heard.code)
    else:
        pending += reversed(_halves(span))


def _halves(span: Span) -> tuple[Span, Span]:
    """Two halves; the first one's length is even where it can be, for values of two registers."""
    half = (span.count + 1) // 2
    if half > 2 and half % 2:
        half += 1
    return Span(span.address, half), Span(span.address + half, span.count - half)
