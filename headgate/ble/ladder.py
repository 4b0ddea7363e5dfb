"""What to do about a scan that does not work: a little at first, more when that did not help."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum


class Step(Enum):
    """Remedies, the mildest first."""

    REBUILD = "the scan is renewed"
    POWER_CYCLE = "the adapter is switched off and on"
    RESTART = "bluetoothd needs a restart"


SILENT = (Step.REBUILD, Step.POWER_CYCLE, Step.RESTART)
"""For a scan that began and hears nothing."""
REFUSED = (Step.REBUILD, Step.REBUILD, Step.POWER_CYCLE, Step.REBUILD, Step.REBUILD, Step.RESTART)
"""For one that does not begin: after a SIGKILL of bluetoothd, until the adapter was off (measured)."""
SPACING_MS = {Step.REBUILD: 0, Step.POWER_CYCLE: 300_000, Step.RESTART: 600_000}
"""What did not help is not done again sooner; a restart, which others suffer from, in no case."""
MAX_LAPS = 4


class Ladder:
    """One fault's rungs. `laps`: how often all of them have been climbed, at most MAX_LAPS."""

    def __init__(self, rungs: Sequence[Step]) -> None:
        self.laps = 0
        self._rungs = rungs
        self._next = 0
        self._done_ms: dict[Step, int] = {}

    def climb(self, now_ms: int) -> Step:
        """The step to take now (boottime)."""
        step = self._rungs[self._next]
        self._next += 1
        if self._next == len(self._rungs):
            self._next = 0
            self.laps = min(self.laps + 1, MAX_LAPS)
        done_ms = self._done_ms.get(step)
        if done_ms is not None and now_ms - done_ms < SPACING_MS[step]:
            return Step.REBUILD
        self._done_ms[step] = now_ms
        return step

    def well(self) -> None:
        """It works: the next fault starts at the foot, and may have its power cycle at once."""
        self.laps = self._next = 0
        self._done_ms.pop(Step.POWER_CYCLE, None)
