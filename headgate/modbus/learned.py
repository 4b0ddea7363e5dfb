"""What a device has refused: tags it does not have, ranges no read may cross, its longest read; pure.

Everything learned is doubted again after a while, each time twice as long: a device that is starting refuses
what it will answer later, and a firmware update may add registers. So what was refused for some time is back
after at most as long again, and what is never there costs a transaction a day.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from headgate.modbus.planner import Span

FIRST_MS = 10_000
MAX_MS = 24 * 3_600_000
MAX_DUE = 8
"""Refused values that are tried again in one tick: their number must not become a burst."""


@dataclass(slots=True)
class _Doubt:
    """When something refused is tried again; `rounds` is how often it was refused."""

    retry_ms: int
    rounds: int = 1


@dataclass(slots=True)
class Learned:
    """Of one table of one device. Times are boottime in ms."""

    refused: dict[Span, _Doubt] = field(default_factory=dict)
    gaps: dict[Span, _Doubt] = field(default_factory=dict)
    max_count: int | None = None
    version: int = 0
    """Goes up with everything learned or forgotten."""

    def refuse(self, span: Span, now_ms: int) -> None:
        """The device refused a read of just this value."""
        _doubt(self.refused, span, now_ms)
        self.version += 1

    def forbid(self, gap: Span, now_ms: int) -> None:
        """Both sides of an unasked range are answered, and a read across it is not."""
        _doubt(self.gaps, gap, now_ms)
        self.version += 1

    def shorten(self, count: int) -> None:
        """Two reads that touch are answered, and one of both is not: the longer one's length is the limit."""
        self.max_count = count if self.max_count is None else min(self.max_count, count)
        self.version += 1

    def answered(self, span: Span) -> bool:
        """A value that was refused came after all; returns whether it had been refused."""
        if self.refused.pop(span, None) is None:
            return False
        self.version += 1
        return True

    def is_refused(self, span: Span) -> bool:
        """Whether a value is left out of the ordinary reads."""
        return span in self.refused

    def due(self, now_ms: int) -> list[Span]:
        """Some of the refused values that are to be asked for again now, each by a read of its own."""
        return [span for span, doubt in self.refused.items() if doubt.retry_ms <= now_ms][:MAX_DUE]

    def forbidden(self, now_ms: int) -> list[Span]:
        """What no read may cross now: refused values, and gaps whose doubt is not due."""
        gaps = [gap for gap, doubt in self.gaps.items() if doubt.retry_ms > now_ms]
        return [*self.refused, *gaps]

    def next_ms(self) -> int | None:
        """When a value is to be tried again next, or a read across a gap."""
        return min((doubt.retry_ms for doubt in (*self.refused.values(), *self.gaps.values())), default=None)

    def crossed(self, start: int, end: int, now_ms: int) -> None:
        """A read of [start, end) was answered: no gap in it is forbidden any more."""
        over = [gap for gap, doubt in self.gaps.items() if start <= gap.address and gap.end <= end]
        for gap in over:
            del self.gaps[gap]
            self.version += 1


def usable(spans: Sequence[Span], learned: Learned) -> list[int]:
    """Indexes of the spans that the ordinary reads are made of: none that touches a refused value.

    A value that overlaps a refused one and is answered by itself is read by itself: see `overlapping`.
    """
    return [i for i, span in enumerate(spans) if not _meets(span, learned.refused)]


def overlapping(spans: Sequence[Span], learned: Learned) -> list[int]:
    """Indexes of the spans that touch a refused one without being it."""
    return [
        i for i, span in enumerate(spans) if not learned.is_refused(span) and _meets(span, learned.refused)
    ]


def _meets(span: Span, others: Sequence[Span] | dict[Span, _Doubt]) -> bool:
    return any(other.address < span.end and span.address < other.end for other in others)


def _doubt(known: dict[Span, _Doubt], span: Span, now_ms: int) -> None:
    doubt = known.get(span)
    if doubt is None:
        known[span] = _Doubt(now_ms + FIRST_MS)
    else:
        doubt.retry_ms = now_ms + min(FIRST_MS << min(doubt.rounds, 20), MAX_MS)
        doubt.rounds += 1
