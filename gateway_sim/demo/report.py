"""What a demo run found: frozen results, and their one JSON form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class StepResult:
    """One step of the story: whether it held, what was seen, and how long it took."""

    name: str
    ok: bool
    detail: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Samples:
    """Values over the whole run: served by the devices, arrived in the cloud's tables; `buses`: of each.

    `unwritten`: read by a process that was killed before they were on disk; not counted as served.
    """

    served: int = 0
    arrived: int = 0
    lost: int = 0
    doubled: int = 0
    unwritten: int = 0
    buses: Mapping[str, Samples] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Numbers, and those of each bus where there are several."""
        numbers: dict[str, Any] = {
            "served": self.served,
            "arrived": self.arrived,
            "lost": self.lost,
            "doubled": self.doubled,
        }
        if self.buses:
            numbers["unwritten"] = self.unwritten
        return numbers | {name: bus.as_json() for name, bus in self.buses.items()}


@dataclass(frozen=True, slots=True)
class Report:
    """The result of a run; `ok` only if every planned step was reached and held."""

    profile: str
    planned: int
    steps: Sequence[StepResult] = ()
    samples: Samples = field(default_factory=Samples)
    pss_mb: dict[str, float] = field(default_factory=dict)
    all_in_one: bool = False

    @property
    def ok(self) -> bool:
        held = len(self.steps) == self.planned and all(step.ok for step in self.steps)
        samples = self.samples
        flowed = all(part.served > 0 for part in (samples, *samples.buses.values()))
        return held and flowed and not (samples.lost or samples.doubled)

    def as_json(self) -> dict[str, Any]:
        """The object that `./dev demo --json` prints."""
        return {
            "ok": self.ok,
            "profile": self.profile,
            "all_in_one": self.all_in_one,
            "steps": [
                {"name": s.name, "ok": s.ok, "detail": s.detail, "seconds": round(s.seconds, 1)}
                for s in self.steps
            ],
            "samples": self.samples.as_json(),
            "pss_mb": self.pss_mb,
        }
