"""Which bridges are silent although they were asked; time in which nobody asked does not count."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

MAX_BRIDGES = 64


@dataclass(slots=True)
class _Life:
    """`run_id`: of its last sign of life; `stopped`: of the run that said that it ends."""

    quiet_ms: int = 0
    run_id: int | None = None
    stopped: int | None = None


class Pulse:
    """Bridges from their first sign of life until they were silent for `silence_ms`; then see `settle`.

    Silence is time between announcements that went out, `step_ms` at most for each: a hub that was itself
    held up, suspended or cut off from the bus holds that against nobody.
    """

    def __init__(self, bridges: Iterable[str], silence_ms: int, step_ms: int) -> None:
        self._silence_ms = silence_ms
        self._step_ms = step_ms
        self._asked_ms: int | None = None
        self._lives = {bridge: _Life() for bridge in bridges}

    def batch(self, bridge: str, run_id: int) -> None:
        """Samples came."""
        life = self._life(bridge, run_id)
        life.run_id, life.quiet_ms = run_id, 0

    def alive(self, bridge: str, run_id: int) -> None:
        """It answered. A start's first answer says only that it began: one that always dies again is dead."""
        life = self._life(bridge, run_id)
        if life.run_id == run_id:
            life.quiet_ms = 0
        life.run_id = run_id

    def stopping(self, bridge: str, run_id: int) -> None:
        """It ends, because it was told to."""
        self._life(bridge, run_id).stopped = run_id

    def asked(self, now_ms: int) -> None:
        """An announcement went out."""
        if self._asked_ms is not None:
            passed_ms = min(now_ms - self._asked_ms, self._step_ms)
            for life in self._lives.values():
                life.quiet_ms += passed_ms
        self._asked_ms = now_ms

    def not_asked(self) -> None:
        """It could not go out: nobody can be blamed for the time since the last one."""
        self._asked_ms = None

    def silent(self) -> list[str]:
        """The bridges that are silent for too long."""
        return [bridge for bridge in self._lives if self.is_silent(bridge)]

    def is_silent(self, bridge: str) -> bool:
        """Whether it still is."""
        life = self._lives.get(bridge)
        return life is not None and life.quiet_ms >= self._silence_ms

    def quiet_ms(self) -> dict[str, int | None]:
        """For how long each bridge has been silent; None of one that answers, or is not overdue yet."""
        return {
            bridge: life.quiet_ms if life.quiet_ms > self._step_ms or life.run_id is None else None
            for bridge, life in self._lives.items()
        }

    def was_stopped(self, bridge: str) -> bool:
        """Whether it said so before it fell silent."""
        life = self._lives.get(bridge)
        return life is not None and life.stopped is not None

    def settle(self, bridge: str) -> None:
        """Its silence was dealt with; its next sign of life begins anew."""
        self._lives.pop(bridge, None)

    def _life(self, bridge: str, run_id: int) -> _Life:
        life = self._lives.get(bridge)
        if life is None:
            life = _Life()
            if len(self._lives) < MAX_BRIDGES:
                self._lives[bridge] = life
        if life.stopped != run_id:
            life.stopped = None
        return life
