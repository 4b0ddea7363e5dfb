"""A decoder of envelopes written from docs/wire.md alone, so that tests can disagree with the packer."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from headgate_cloud.decoder import WindowRow, decode


@dataclass(frozen=True)
class ReadSample:
    """One sample as the cloud would have it; NaN is the text "NaN", so that samples compare."""

    series: str
    unit: str
    kind: str
    revision: int
    t_ms: int
    value: float | int | str | bool | None
    quality: int


@dataclass(frozen=True)
class ReadWindow:
    """One row of one window; `rest` is what was asked for beside the plain statistics, as JSON."""

    series: str
    start_ms: int
    length_ms: int
    n: int
    min: float
    max: float
    mean: float
    std: float
    first: float
    last: float
    revision: int = 0
    rest: str = ""


_STATS = ("n", "min", "max", "mean", "std", "first", "last")


def load(body: bytes) -> dict[str, Any]:
    """The JSON of an envelope; a key that stands twice, or NaN outside a string, is an error."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        assert len(found) == len(pairs), f"a key stands twice: {[key for key, _ in pairs]}"
        return found

    def refuse(text: str) -> float:
        raise AssertionError(f"{text} is no JSON")

    found: dict[str, Any] = json.loads(body, object_pairs_hook=unique, parse_constant=refuse)
    return found


def samples(body: bytes) -> list[ReadSample]:
    """The samples of an envelope, column by column; [] for one of another kind."""
    whole = load(body)
    if whole["kind"] != "samples":
        return []
    found: list[ReadSample] = []
    for name, column in whole["columns"].items():
        if whole["v"] == 2:
            column |= zip("ukdrt", whole["sets"][column.pop("s")], strict=True)
        times = list(_sums(whole["times"][column["t"]]))
        values = list(_values(column))
        quality = [code for count, code in column.get("q", [[len(times), 0]]) for _ in range(count)]
        assert len(times) == len(values) == len(quality)
        rest = (column["u"], column["k"], column["r"])
        found += [ReadSample(name, *rest, *row) for row in zip(times, values, quality, strict=True)]
        present = [(t, i) for i, t in enumerate(times) if values[i] is not None]
        if present:
            newest = values[max(present)[1]]
            assert comparable(_plain(column["last"], column["k"])) == comparable(newest)
        else:
            assert "last" not in column
    return found


def windows(body: bytes) -> list[ReadWindow]:
    """The rows of an envelope's windows; [] for one of another kind."""
    whole = load(body)
    if whole["kind"] != "windows":
        return []
    if whole["v"] == 2:
        return [_row(row) for row in decode(body).windows]
    return [
        ReadWindow(
            name,
            window["start"],
            window["length_ms"],
            **{key: row[key] for key in _STATS},
            revision=window.get("rev", 0),
            rest=json.dumps({key: value for key, value in row.items() if key not in _STATS}, sort_keys=True),
        )
        for window in whole["windows"]
        for name, row in window["rows"].items()
    ]


def _row(row: WindowRow) -> ReadWindow:
    """Columns over time are read as the cloud reads them."""
    assert row.min is not None
    assert row.max is not None
    assert row.std is not None
    assert row.first is not None
    assert row.last is not None
    asked = {
        "sum": row.sum,
        "tmean": row.time_mean,
        "good": row.quality,
        "inc": row.increase,
        "rate": row.rate,
        "resets": row.resets,
        "p": dict(row.percentiles) or None,
    }
    rest = {"u": row.unit, "d": row.decimals, "r": row.revision}
    return ReadWindow(
        row.series,
        row.start_ms,
        row.length_ms,
        row.n,
        row.min,
        row.max,
        row.mean,
        row.std,
        row.first,
        row.last,
        revision=row.correction,
        rest=json.dumps(rest | {k: v for k, v in asked.items() if v is not None}, sort_keys=True),
    )


def newest_windows(found: Iterable[ReadWindow]) -> list[ReadWindow]:
    """Of each window the one of the highest revision, less its number; the same twice is an error."""
    newest: dict[tuple[str, int, int], ReadWindow] = {}
    seen: set[tuple[str, int, int, int]] = set()
    for window in found:
        key = (window.series, window.start_ms, window.length_ms)
        assert (*key, window.revision) not in seen, f"{key} revision {window.revision} twice"
        seen.add((*key, window.revision))
        if key not in newest or newest[key].revision < window.revision:
            newest[key] = window
    return [replace(window, revision=0) for window in newest.values()]


def comparable(value: float | int | str | bool | None) -> float | int | str | bool | None:
    """The value, or "NaN" for a NaN."""
    return "NaN" if isinstance(value, float) and math.isnan(value) else value


def _sums(steps: list[int]) -> Iterator[int]:
    total = 0
    for step in steps:
        total += step
        yield total


def _values(column: dict[str, Any]) -> Iterator[float | int | str | bool | None]:
    kind, decimals = column["k"], column["d"]
    if kind in ("i64", "u64") or (kind == "f64" and decimals is not None):
        total = 0
        for step in column["v"]:
            total += step or 0
            value = total / 10**decimals if kind == "f64" else total
            yield None if step is None else value
    else:
        yield from (comparable(_plain(value, kind)) for value in column["v"])


def _plain(value: Any, kind: str) -> float | int | str | bool | None:
    if value is None:
        return None
    if kind == "f64":
        return float(value)
    return bool(value) if kind == "bool" else value
