"""Packs reports: what the gateway has to tell the cloud about its own data."""

from __future__ import annotations

import json

from headgate.envelope.header import Part
from headgate.model import ClockState

MAX_WHY_CHARACTERS = 500


def dropped(series: str, from_ms: int, to_ms: int, count: int, why: str, clock: ClockState) -> Part:
    """`count` samples of `series` (`bridge/*`: of any that it reads) between two UTC times are gone."""
    report = {
        "type": "dropped",
        "series": series,
        "from": from_ms,
        "to": to_ms,
        "count": count,
        "why": why[:MAX_WHY_CHARACTERS],
    }
    return Part("report", clock, f'"report":{json.dumps(report, separators=(",", ":"))}}}', 0)
