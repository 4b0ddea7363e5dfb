"""Points in time and durations as people write and read them."""

from __future__ import annotations

import datetime
import re
from typing import Final

_UNITS_S: Final = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d|w)?")
_MS: Final = re.compile(r"\d{12,14}")


def duration_s(text: str) -> float:
    """`30`, `30s`, `5m`, `1.5h`, `7d`; raises ValueError."""
    found = _DURATION.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"{text!r} is no duration; write 30s, 5m, 1.5h or 7d")
    return float(found[1]) * _UNITS_S[found[2] or "s"]


def instant_ms(text: str, now_ms: int) -> int:
    """`now`, `-5m` (before now), UTC ms, or ISO 8601 (local where it names no zone); raises ValueError."""
    word = text.strip()
    if word == "now":
        return now_ms
    if word.startswith("-"):
        return now_ms - round(duration_s(word[1:]) * 1000)
    if _MS.fullmatch(word):
        return int(word)
    try:
        found = datetime.datetime.fromisoformat(word)
    except ValueError:
        raise ValueError(
            f"{text!r} is no time; write now, -5m, 2026-01-31T12:00, 2026-01-31T12:00Z or UTC milliseconds"
        ) from None
    return round(found.timestamp() * 1000)


def age(ms: int) -> str:
    """How long ago, in the unit that tells most: `0.3 s`, `42 s`, `5 min`, `3 h`, `12 d`."""
    if ms < 0:
        return f"in {age(-ms)}"
    seconds = ms / 1000
    for limit, unit_s, unit in ((9.95, 1, "s"), (120, 1, "s"), (7200, 60, "min"), (172_800, 3600, "h")):
        if seconds < limit:
            return f"{seconds / unit_s:.{1 if limit < 10 else 0}f} {unit}"
    return f"{seconds / 86_400:.0f} d"


def clock(ms: int) -> str:
    """Local time, with milliseconds."""
    found = datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC).astimezone()
    return f"{found:%Y-%m-%d %H:%M:%S}.{ms % 1000:03d}"


def size(size_bytes: int) -> str:
    """In binary units: `512 B`, `32.0 MiB`."""
    if size_bytes < 1024:
        return f"{size_bytes} B"
    value = float(size_bytes)
    for unit in ("KiB", "MiB", "GiB"):
        value /= 1024
        if value < 1024:
            return f"{value:.1f} {unit}"
    return f"{value / 1024:.1f} TiB"
