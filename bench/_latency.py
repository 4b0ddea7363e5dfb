"""How long values take from the device's answer to the cloud's rule, from the envelopes that are stored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from bench.form import Figure
from gateway_sim.checker.arrived import Arrived


class Latency:
    """Counts values by how old they were on arrival; those of [since_ms, until_ms) count in `figures`."""

    def __init__(self) -> None:
        self._ages: dict[int, Counter[int]] = {}  # by second of acquisition: ms -> values

    def take(self, arrived: Arrived) -> None:
        """Count the samples of an envelope."""
        for column in arrived.columns:
            for t_ms in column.times:
                self._ages.setdefault(t_ms // 1000, Counter())[arrived.received_ms - t_ms] += 1

    def figures(self, since_ms: int, until_ms: int) -> Mapping[str, Figure]:
        """The median and the 99th percentile, ms; None where nothing arrived."""
        ages: Counter[int] = Counter()
        for second in range(since_ms // 1000 + 1, until_ms // 1000):
            ages.update(self._ages.get(second, {}))
        return {f"latency_ms.p{percent}": _percentile(ages, percent) for percent in (50, 99)}


def _percentile(ages: Counter[int], percent: int) -> int | None:
    left = ages.total() * percent / 100
    for age_ms, count in sorted(ages.items()):
        left -= count
        if left <= 0:
            return age_ms
    return None
