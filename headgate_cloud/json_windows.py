"""Windows of the codec `json`, version 2: columns over time (docs/wire.md)."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from fractions import Fraction
from itertools import accumulate
from math import isfinite
from typing import Final

from headgate_cloud.forms import KINDS, MAX_WINDOWS, SchemaRow, WindowRow
from headgate_cloud.json_columns import SERIES, decimals_of
from headgate_cloud.strict import I64, Undecodable, array, choice, fields, integer, mapping, number, string
from headgate_cloud.window_lists import ASKED, MAX_DIGITS, STATISTICS, Axis, Lists, Number, axis_of, rows_of

_PERCENT: Final = re.compile(r"\d{1,3}(\.\d{1,6})?")
_COUNT: Final = (1, I64[1])


def windows_of_sets(whole: Mapping[str, object]) -> tuple[WindowRow, ...]:
    """The rows of an envelope of kind windows; raises Undecodable."""
    sets = [_set(row, f"$.sets[{i}]") for i, row in enumerate(array(whole["sets"], "$.sets"))]
    return tuple(
        row
        for i, block in enumerate(array(whole["windows"], "$.windows"))
        for row in _block(block, f"$.windows[{i}]", sets)
    )


def _set(row: object, path: str) -> tuple[str, str, int | None, int]:
    found = array(row, path)
    if len(found) != 4:
        raise Undecodable(path, "a set is [unit, kind, decimals, revision]")
    return (
        string(found[0], path),
        choice(found[1], path, KINDS),
        decimals_of(found[2], path),
        integer(found[3], path, (0, I64[1])),
    )


def _block(block: object, path: str, sets: list[tuple[str, str, int | None, int]]) -> Iterator[WindowRow]:
    found = fields(block, path, ("start", "length_ms", "columns", "rows"), ("step_ms", "rev", "n"))
    length_ms = integer(found["length_ms"], f"{path}.length_ms", _COUNT)
    step_ms = integer(found.get("step_ms", length_ms), f"{path}.step_ms", _COUNT)
    starts: list[int] = []
    for run in array(found["start"], f"{path}.start"):
        pair = array(run, f"{path}.start")
        if len(pair) != 2:
            raise Undecodable(f"{path}.start", "a run is [start, count]")
        first, many = integer(pair[0], f"{path}.start"), integer(pair[1], f"{path}.start", (1, MAX_WINDOWS))
        starts += range(first, first + many * step_ms, step_ms)
        if len(starts) > MAX_WINDOWS:
            raise Undecodable(f"{path}.start", f"more than {MAX_WINDOWS} windows")
    corrections: list[int] = []
    if "rev" in found:
        corrections = [
            integer(n, f"{path}.rev", (0, I64[1])) for n in _spread(found["rev"], len(starts), path)
        ]
        if len(corrections) != len(starts):
            raise Undecodable(f"{path}.rev", f"{len(corrections)} numbers for {len(starts)} windows")
    axis = axis_of(starts, corrections, length_ms, step_ms, path)
    names = [
        choice(name, f"{path}.columns", STATISTICS) for name in array(found["columns"], f"{path}.columns")
    ]
    if names[:1] != ["mean"] or len(set(names)) != len(names):
        raise Undecodable(f"{path}.columns", "begins with mean, and names nothing twice")
    for series_name, row in mapping(found["rows"], f"{path}.rows").items():
        where = f"{path}.rows[{series_name[:130]!r}]"
        values = array(row, where)
        more: dict[str, object] = {}
        if len(values) == len(names) + 2:
            more = fields(values.pop(), where, (), ("s", "m", "n", "tmean", "p", *ASKED))
        if len(values) != len(names) + 1 or not sets:
            raise Undecodable(where, f"a row has {len(names) + 1} columns and a set")
        series = SchemaRow(
            string(series_name, where, SERIES),
            *sets[integer(more.get("s", 0), f"{where}.s", (0, len(sets) - 1))],
        )
        count = more.get("n", found.get("n"))
        lists = _lists(axis, series, count, names, values, more, where)
        yield from rows_of(axis, series, lists, where)


def _lists(
    axis: Axis,
    series: SchemaRow,
    count: object,
    names: list[str],
    values: list[object],
    more: Mapping[str, object],
    path: str,
) -> Lists:
    length = len(axis.starts_ms)
    digits: int | None = series.decimals or 0
    if "m" in more:
        digits = None if more["m"] is None else integer(more["m"], f"{path}.m", (0, MAX_DIGITS))
    numbers: dict[str, list[Number]] = {}
    for name, value in zip(names, values[1:], strict=True):
        short = 1 if name == "mean" and digits is not None else 0
        numbers[name] = [number(each, f"{path}.{name}") for each in _spread(value, length - short, path)]
    asked = {name: _maybe(more[name], length, f"{path}.{name}") for name in ASKED if name in more}
    if "tmean" in more and digits is None:
        asked["tmean"] = _maybe(more["tmean"], length, f"{path}.tmean")
    elif "tmean" in more:
        numbers["tmean"] = [number(each, f"{path}.tmean") for each in _spread(more["tmean"], length, path)]
    if digits is not None:
        numbers["mean"] = _means(number(values[0], f"{path}[0]"), numbers["mean"], digits, path)
        if "min" in numbers:
            numbers["min"] = [-value for value in numbers["min"]]
    percentiles = {
        string(percent, path, _PERCENT): _maybe(each, length, f"{path}.p")
        for percent, each in mapping(more.get("p", {}), f"{path}.p").items()
    }
    return Lists(
        digits,
        [integer(each, f"{path}.n", _COUNT) for each in _spread(count, length, path)],
        numbers,
        asked,
        percentiles,
    )


def _means(now: Number, steps: list[Number], digits: int, path: str) -> list[Number]:
    """From the last one back: `steps` are the differences from each to the next."""
    if not isfinite(now) or any(type(step) is not int for step in steps):
        raise Undecodable(path, "means are a finite number and integer differences")
    last = round(Fraction(now) * 10**digits)
    return [*accumulate(reversed(steps), lambda reached, step: reached - step, initial=last)][::-1]


def _maybe(value: object, length: int, path: str) -> list[Number | None]:
    return [None if each is None else number(each, path) for each in _spread(value, length, path)]


def _spread(value: object, length: int, path: str) -> list[object]:
    """A list as it is; anything else stands for as many of itself."""
    if length > MAX_WINDOWS:
        raise Undecodable(path, f"more than {MAX_WINDOWS} windows")
    return array(value, path) if isinstance(value, list) else [value] * length
