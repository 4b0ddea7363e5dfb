"""Packs reports: what the gateway has to tell the cloud about its own data."""

from __future__ import annotations

import json
from collections.abc import Mapping

from headgate.envelope.header import Part
from headgate.model import ClockState

MAX_WHY_CHARACTERS = 500


def pack_report(type_: str, fields: Mapping[str, object], clock: ClockState) -> Part:
    """A report of this type with these JSON fields, plain."""
    text = json.dumps({"type": type_, **fields}, separators=(",", ":"))
    return Part("report", clock, f'"report":{text}}}', 0)


def dropped(series: str, from_ms: int, to_ms: int, count: int, why: str, clock: ClockState) -> Part:
    """`count` samples of `series` (`bridge/*`: of any that it reads) between two UTC times are gone."""
    fields = {"series": series, "from": from_ms, "to": to_ms, "count": count, "why": why[:MAX_WHY_CHARACTERS]}
    return pack_report("dropped", fields, clock)


def set_aside(fields: Mapping[str, object]) -> Part:
    """A file of the gateway's own could not be read. Nothing vouches for any time in it."""
    return pack_report("set_aside", fields, ClockState.UNSYNCED)
