"""Ages of values on arrival, as the gateway's benchmark counts them."""

from __future__ import annotations

from bench._latency import Latency
from gateway_sim.checker.arrived import Arrived, Column


def _arrived(received_ms: int, times: list[int]) -> Arrived:
    column = Column("a/b", "V", 0, times, [1] * len(times))
    return Arrived("live", "0" * 16, 1, (column,), received_ms=received_ms)


def test_percentiles_are_of_values_and_not_of_envelopes() -> None:
    latency = Latency()
    latency.take(_arrived(10_500, list(range(10_000, 10_099))))
    latency.take(_arrived(19_000, [10_000]))
    assert latency.figures(9_000, 12_000) == {"latency_ms.p50": 451, "latency_ms.p99": 500}


def test_only_whole_seconds_inside_the_interval_count() -> None:
    latency = Latency()
    latency.take(_arrived(20_000, [9_999, 10_500, 12_000]))
    assert latency.figures(9_500, 12_000) == {"latency_ms.p50": 9_500, "latency_ms.p99": 9_500}


def test_nothing_that_arrived_is_no_figure() -> None:
    assert Latency().figures(0, 10_000) == {"latency_ms.p50": None, "latency_ms.p99": None}
