"""Codec `plain`: one flat JSON message per reading, for rules that know no envelopes (docs/wire.md)."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator

from headgate.columns import Columns
from headgate.model import Quality

WORDS = {quality.value: quality.name.lower() for quality in Quality}
NOT_FINITE = {math.inf: "Infinity", -math.inf: "-Infinity"}


def readings(thing: str, groups: Iterable[Columns]) -> Iterator[str]:
    """Every sample as `{"thing","series","t","value","unit","quality"}`; `t` is UTC in ms."""
    for columns in groups:
        for i, series in enumerate(columns.series):
            codes = columns.quality[i]
            for row, t_ms in enumerate(columns.times_ms):
                value: object = columns.values[i][row]
                if isinstance(value, float) and not math.isfinite(value):
                    value = NOT_FINITE.get(value, "NaN")
                elif series.kind == "bool" and value is not None:
                    value = bool(value)
                yield json.dumps(
                    {
                        "thing": thing,
                        "series": series.name,
                        "t": t_ms,
                        "value": value,
                        "unit": series.unit,
                        "quality": WORDS[codes[row] if codes else 0],
                    },
                    separators=(",", ":"),
                )
