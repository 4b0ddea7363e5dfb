"""Columns of samples as the codec `json` writes them (docs/wire.md), in an envelope or a reply."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Final

from headgate_cloud.forms import KINDS, MAX_DECIMALS, MAX_QUALITY, Column, Raw
from headgate_cloud.strict import (
    I64,
    U64,
    Undecodable,
    array,
    choice,
    fields,
    integer,
    mapping,
    number,
    string,
)

SERIES: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}/[A-Za-z0-9_.-]{1,64}")
_SET: Final = ("u", "k", "d", "r", "t")


def columns(whole: Mapping[str, object]) -> tuple[Column, ...]:
    """Of version 1, and of a result of `query`; raises Undecodable."""
    found, times = _parts(whole)
    return tuple(_column(name, column, times) for name, column in found.items())


def columns_of_sets(whole: Mapping[str, object]) -> tuple[Column, ...]:
    """Of version 2: what columns share stands once, in `sets`; raises Undecodable."""
    found, times = _parts(whole)
    sets = []
    for i, row in enumerate(array(whole["sets"], "$.sets")):
        values = array(row, f"$.sets[{i}]")
        if len(values) != len(_SET):
            raise Undecodable(f"$.sets[{i}]", "a set is [unit, kind, decimals, revision, times]")
        sets.append(dict(zip(_SET, values, strict=True)))
    out = []
    for name, value in found.items():
        path = f"$.columns[{name[:130]!r}]"
        column = fields(value, path, ("s", "v"), ("last", "q"))
        shared = sets[integer(column.pop("s"), f"{path}.s", (0, len(sets) - 1))]
        out.append(_column(name, {**shared, **column}, times))
    return tuple(out)


def _parts(whole: Mapping[str, object]) -> tuple[dict[str, object], list[tuple[int, ...]]]:
    for name in ("times", "columns"):
        if name not in whole:
            raise Undecodable("$", f"{name!r} is missing")
    times = [_times(row, f"$.times[{i}]") for i, row in enumerate(array(whole["times"], "$.times"))]
    return mapping(whole["columns"], "$.columns"), times


def _times(value: object, path: str) -> tuple[int, ...]:
    return tuple(t for t in _running_sum(array(value, path), path, I64) if t is not None)


def _column(name: str, value: object, times: list[tuple[int, ...]]) -> Column:
    path = f"$.columns[{name[:130]!r}]"
    series = string(name, path, SERIES)
    found = fields(value, path, ("u", "k", "d", "r", "t", "v"), ("last", "q"))
    kind = choice(found["k"], f"{path}.k", KINDS)
    decimals = decimals_of(found["d"], f"{path}.d")
    times_ms = times[integer(found["t"], f"{path}.t", (0, len(times) - 1))]
    raw = _values(array(found["v"], f"{path}.v"), f"{path}.v", kind, decimals)
    if len(raw) != len(times_ms):
        raise Undecodable(f"{path}.v", f"{len(raw)} values for {len(times_ms)} times")
    last = found.get("last")
    if (last is None) != all(value is None for value in raw):
        raise Undecodable(f"{path}.last", "is there where any value is, and only then")
    return Column(
        series=series,
        unit=string(found["u"], f"{path}.u"),
        kind=kind,
        decimals=decimals,
        revision=integer(found["r"], f"{path}.r", (0, I64[1])),
        times_ms=times_ms,
        raw=raw,
        quality=_quality(found["q"], f"{path}.q", len(raw)) if "q" in found else (0,) * len(raw),
        last=None if last is None else _last(last, f"{path}.last", kind, decimals),
    )


def decimals_of(value: object, path: str) -> int | None:
    return None if value is None else integer(value, path, (0, MAX_DECIMALS))


def _values(found: list[object], path: str, kind: str, decimals: int | None) -> tuple[Raw | None, ...]:
    if kind in ("i64", "u64") or (kind == "f64" and decimals is not None):
        return tuple(_running_sum(found, path, U64 if kind == "u64" else I64))
    return tuple(None if v is None else _plain(v, f"{path}[{i}]", kind) for i, v in enumerate(found))


def _running_sum(found: list[object], path: str, bounds: tuple[int, int]) -> Iterator[int | None]:
    """First value, then differences; null is a gap, and differences go on from before it."""
    reached = 0
    for i, step in enumerate(found):
        if step is None and not path.startswith("$.times"):
            yield None
            continue
        # A difference may be as wide as the whole range, so only the sum is bounded.
        reached += integer(step, f"{path}[{i}]", (-U64[1], U64[1]))
        yield integer(reached, f"{path}[{i}]", bounds)


def _plain(value: object, path: str, kind: str) -> Raw:
    if kind == "bool":
        return integer(value, path, (0, 1)) == 1
    return string(value, path) if kind == "text" else float(number(value, path))


def _last(value: object, path: str, kind: str, decimals: int | None) -> Raw:
    """`last` is for rules to select, so it is plain; a bool may also be written true or false."""
    if kind == "bool" and isinstance(value, bool):
        return value
    if kind in ("i64", "u64") and not decimals:
        return integer(value, path, U64 if kind == "u64" else I64)
    return number(value, path) if kind in ("i64", "u64") else _plain(value, path, kind)


def _quality(value: object, path: str, length: int) -> tuple[int, ...]:
    codes: list[int] = []
    for i, run in enumerate(array(value, path)):
        pair = array(run, f"{path}[{i}]")
        if len(pair) != 2:
            raise Undecodable(f"{path}[{i}]", "a run is [count, code]")
        count = integer(pair[0], f"{path}[{i}][0]", (1, length - len(codes)))
        codes += [integer(pair[1], f"{path}[{i}][1]", (0, MAX_QUALITY))] * count
    if len(codes) != length:
        raise Undecodable(path, f"{len(codes)} codes for {length} values")
    return tuple(codes)
