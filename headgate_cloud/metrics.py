"""Metrics as log lines: CloudWatch takes them out of the log by itself (embedded metric format)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

NAMESPACE: Final = "Headgate"

Entry = dict[str, object]


def metered(
    entry: Mapping[str, object],
    metrics: Mapping[str, tuple[str, int | float]],
    now_ms: int,
    *,
    dimensions: tuple[str, ...] = (),
) -> Entry:
    """A log entry that is also values of metrics: (unit, value) by name; `dimensions` are the entry's fields.

    Shape: CloudWatch user guide, "Specification: Embedded metric format". What nothing happened of is said
    too, as 0, so that a metric is there before its first incident.
    """
    directive = {
        "Namespace": NAMESPACE,
        "Dimensions": [list(dimensions)],
        "Metrics": [{"Name": name, "Unit": unit} for name, (unit, _) in metrics.items()],
    }
    values = {name: value for name, (_, value) in metrics.items()}
    return {**entry, **values, "_aws": {"Timestamp": now_ms, "CloudWatchMetrics": [directive]}}
