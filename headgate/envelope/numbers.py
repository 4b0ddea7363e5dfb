"""Values as the codec `json` writes them: integer differences where those are exact, else plain."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import groupby, pairwise
from operator import eq, sub, truediv

from headgate.model import Series, Value

EXACT = 1 << 53
"""Integers up to here are exact in every JSON reader that thinks in doubles."""


def plain(value: Value) -> str:
    """One value as JSON; what JSON cannot say of a double goes as a string."""
    if isinstance(value, float) and not math.isfinite(value):
        return '"NaN"' if math.isnan(value) else '"Infinity"' if value > 0 else '"-Infinity"'
    if isinstance(value, bool):
        return "1" if value else "0"
    return json.dumps(value)


def differences(numbers: Sequence[int | None]) -> str:
    """`[first, difference, ...]`; null stays null, and differences go on from the value before it."""
    if not numbers:
        return "[]"
    if None not in numbers:
        # Lists of integers, and strings of them, are what Python is quick at.
        whole: Sequence[int] = numbers  # type: ignore[assignment]  # no None among them
        return (
            f"[{whole[0]},{','.join(map(str, map(sub, whole[1:], whole)))}]" if whole[1:] else f"[{whole[0]}]"
        )
    texts = []
    before = 0
    for number in numbers:
        texts.append("null" if number is None else str(number - before))
        before = before if number is None else number
    return f"[{','.join(texts)}]"


def scaled(values: Sequence[Value], decimals: int) -> list[int | None] | None:
    """The integers n with value == n / 10^decimals, all of them exact; None where one is not."""
    scale = 10**decimals
    present: list[float] = [v for v in values if v is not None]  # type: ignore[misc]  # floats by their kind
    try:
        numbers = [round(value * scale) for value in present]
    except (ValueError, OverflowError):  # NaN, infinity
        return None
    if numbers and not (min(numbers) >= -EXACT and max(numbers) <= EXACT):
        return None
    if not all(map(eq, map(truediv, numbers, [scale] * len(numbers)), present)):
        return None
    if 0 in numbers and any(value == 0 and math.copysign(1.0, value) < 0 for value in present):
        return None  # an integer has no -0.0
    if len(present) == len(values):
        return [*numbers]
    found = iter(numbers)
    return [None if value is None else next(found) for value in values]


def column(series: Series, values: Sequence[Value]) -> tuple[int | None, str]:
    """The decimals in force (None where a value is no multiple of 10^-decimals) and the values' JSON."""
    if series.kind in ("i64", "u64"):
        return None, differences(values)  # type: ignore[arg-type]  # ints by their kind
    if series.kind == "f64" and series.decimals is not None:
        numbers = scaled(values, series.decimals)
        if numbers is not None:
            return series.decimals, differences(numbers)
    return None, f"[{','.join(map(plain, values))}]"


def runs(quality: Sequence[int]) -> str:
    """Quality codes as `[[count, code], ...]`."""
    return f"[{','.join(f'[{len(list(run))},{code}]' for code, run in groupby(quality))}]"


def newest(times_ms: Sequence[int], values: Sequence[Value]) -> Value:
    """The value of the latest time that is not None; of equal times the one acquired last."""
    if values[-1] is not None and all(a <= b for a, b in pairwise(times_ms)):
        return values[-1]
    found: Value = None
    found_ms = -1
    for t, value in zip(times_ms, values, strict=True):
        if value is not None and t >= found_ms:
            found_ms, found = t, value
    return found
