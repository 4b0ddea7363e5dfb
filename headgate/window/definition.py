"""What is wanted of a series: windows of which length and step, and which statistics."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from headgate.window.part import Rule

Statistic = Literal["sum", "time_mean", "quality"]
STATISTICS: tuple[Statistic, ...] = get_args(Statistic)
"""What may be asked for beside count, min, max, mean, std, first and last, which are always there."""

COUNTER_MEMORY_MS = 86_400_000
"""A counter's reading before a window counts for its increase when it is not older than that."""


@dataclass(frozen=True, slots=True)
class Definition:
    """Windows [start, start + length) for every start that is a multiple of the step.

    The step divides the length. `rule.wrap`: None but for counters. `percentiles`: shares, 0..1, ascending.
    """

    length_ms: int
    step_ms: int
    rule: Rule = field(default_factory=Rule)
    statistics: frozenset[Statistic] = frozenset()
    percentiles: tuple[float, ...] = ()

    @property
    def carries(self) -> bool:
        """Whether the sample before a window has a say in it."""
        return self.rule.wrap is not None or "time_mean" in self.statistics

    @property
    def memory_ms(self) -> int:
        """How old the sample before a window may be to have a say in it."""
        return COUNTER_MEMORY_MS if self.rule.wrap is not None else self.rule.hold_ms
