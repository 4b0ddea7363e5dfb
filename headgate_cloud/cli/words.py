"""Values as people read them: numbers with units, quality as a word, a row of samples as a line. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

QUALITY: Final = ("good", "uncertain", "stale", "bad_comm", "bad_value", "bad_config")  # docs/wire.md
COLOURS: Final = {"good": "green", "uncertain": "yellow", "stale": "yellow"}
_BARS: Final = "▁▂▃▄▅▆▇█"
_GAP: Final = " "


def value(found: object, unit: str = "") -> str:
    """`230.4 V`, `on`, `-`; the unit `1` says nothing and is left out."""
    if found is None:
        return "-"
    if isinstance(found, bool):
        text = "on" if found else "off"
    elif isinstance(found, float):
        text = f"{found:.7g}"
    else:
        text = str(found)
    return f"{text} {unit}" if unit not in ("", "1") else text


def quality(code: object) -> str:
    """A code's word; a word as it is."""
    if type(code) is int:
        return QUALITY[code] if 0 <= code < len(QUALITY) else f"quality {code}"
    return "?" if code is None else str(code)


def coloured(word: str) -> str:
    """With rich's markup."""
    return f"[{COLOURS.get(word, 'red')}]{word}[/]"


def spark(values: Sequence[float | None], width: int = 32) -> str:
    """The course of values as at most `width` bars, each the mean of its share; a gap where there is none."""
    if not values:
        return ""
    count = min(width, len(values))
    means: list[float | None] = []
    for i in range(count):
        share = values[i * len(values) // count : (i + 1) * len(values) // count]
        known = [v for v in share if v is not None and math.isfinite(v)]
        means.append(sum(known) / len(known) if known else None)
    present = [m for m in means if m is not None]
    if not present:
        return _GAP * count
    low, high = min(present), max(present)
    scale = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(_GAP if m is None else _BARS[round((m - low) * scale)] for m in means)


def hex_words(registers: Sequence[object]) -> str:
    """Register values as decimal and hexadecimal."""
    return " ".join(f"{r} (0x{r:04x})" if type(r) is int else str(r) for r in registers)
