"""Says of a group that was not read for too long that its values are stale: nothing looks fresh that is not.

A device that does not answer is marked at once (`Line`). What is left is a group whose turn does not come:
its line is busy with time-outs, retries or more than it can carry.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from headgate.clock import Clock
from headgate.driver import Emit
from headgate.modbus.search import marked
from headgate.modbus.work import Poll
from headgate.model import Quality
from headgate.sleeper import Sleeper

IDLE_MS = 3_600_000


class Staleness:
    """Watches over what `polls` gives, whenever it is asked. `counted`: groups that became stale."""

    def __init__(
        self, polls: Callable[[], Iterable[Poll]], clock: Clock, notice: Callable[[str], None]
    ) -> None:
        self.counted = 0
        self._polls = polls
        self._clock = clock
        self._notice = notice
        self._sleeper = Sleeper(clock)

    def changed(self) -> None:
        """Look again; call after the polls changed."""
        self._sleeper.wake()

    async def run(self, emit: Emit) -> None:
        """Mark what is stale until cancelled."""
        while True:
            await self._sleeper.until(self.mark(self._clock.boot_ms(), emit))

    def mark(self, now_ms: int, emit: Emit) -> int:
        """Mark each group once that is stale now; return when to look again."""
        next_ms = now_ms + IDLE_MS
        for poll in self._polls():
            # One that is read again meanwhile is not stale sooner than this.
            next_ms = min(next_ms, now_ms + poll.stale_ms)
            if poll.marked or poll.stale:
                continue
            due_ms = poll.fresh_ms + poll.stale_ms
            if due_ms > now_ms:
                next_ms = min(next_ms, due_ms)
                continue
            poll.stale = True
            self.counted += 1
            name = f"{poll.unit.device.name}/{poll.name}"
            self._notice(
                f"{name}: not read for {(now_ms - poll.fresh_ms) / 1000:.0f} s, its line is too busy"
            )
            for read in poll.reads:
                emit(marked(now_ms, read, Quality.STALE))
        return next_ms
