"""Statistics of windows as lists over time, as both codecs send them, back to rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from headgate_cloud.forms import SchemaRow, WindowRow
from headgate_cloud.strict import I64, Undecodable

STATISTICS: Final = ("mean", "min", "max", "std", "first", "last")
ASKED: Final = ("sum", "good", "inc", "rate", "resets")
MAX_DIGITS: Final = 24  # 15 decimals of a series, 6 more of its mean, and some
STD_DIGITS: Final = 2

Number = int | float


@dataclass(frozen=True, slots=True)
class Axis:
    """The windows that series share: parallel starts and corrections."""

    starts_ms: Sequence[int]
    corrections: Sequence[int]
    length_ms: int
    step_ms: int


@dataclass(frozen=True, slots=True)
class Lists:
    """One series' numbers, a list of the axis' length each; None where a row has none.

    With `digits`, the numbers of STATISTICS and of `tmean` are the integers that docs/wire.md describes.
    """

    digits: int | None
    counts: Sequence[int]
    numbers: Mapping[str, Sequence[Number]]
    asked: Mapping[str, Sequence[Number | None]]
    percentiles: Mapping[str, Sequence[Number | None]]


def axis_of(
    starts_ms: Sequence[int], corrections: Sequence[int], length_ms: int, step_ms: int, path: str
) -> Axis:
    """Checked; raises Undecodable."""
    if not 1 <= length_ms <= I64[1] or not 1 <= step_ms <= length_ms:
        raise Undecodable(path, f"windows of {length_ms} ms, {step_ms} ms apart")
    for start_ms in starts_ms:
        if not I64[0] <= start_ms <= I64[1] or start_ms % step_ms:
            raise Undecodable(path, f"start {start_ms} is no multiple of {step_ms}")
    return Axis(starts_ms, corrections, length_ms, step_ms)


def rows_of(axis: Axis, series: SchemaRow, lists: Lists, path: str) -> Iterator[WindowRow]:
    """A row for each window; raises Undecodable where what must be there is not, or is out of range."""
    digits, numbers = lists.digits, lists.numbers
    if "mean" not in numbers:
        raise Undecodable(path, "has no mean")
    for name, values in (
        *numbers.items(),
        *lists.asked.items(),
        *lists.percentiles.items(),
        ("n", lists.counts),
    ):
        if len(values) != len(axis.starts_ms):
            raise Undecodable(path, f"{name}: {len(values)} numbers for {len(axis.starts_ms)} windows")
    if any(not 1 <= count <= I64[1] for count in lists.counts):
        raise Undecodable(path, "a window of no sample")
    for name in ("resets",):
        if any(
            value is not None and (type(value) is not int or value < 0) for value in lists.asked.get(name, ())
        ):
            raise Undecodable(path, f"{name} is a count")
    plain = numbers if digits is None else _unscaled(series, digits, numbers, path)
    for i, start_ms in enumerate(axis.starts_ms):
        asked = {name: values[i] for name, values in lists.asked.items()}
        resets = asked.get("resets")
        yield WindowRow(
            series=series.name,
            start_ms=start_ms,
            length_ms=axis.length_ms,
            step_ms=axis.step_ms,
            correction=axis.corrections[i] if axis.corrections else 0,
            unit=series.unit,
            decimals=series.decimals,
            revision=series.revision,
            n=lists.counts[i],
            mean=plain["mean"][i],
            min=_at(plain, "min", i),
            max=_at(plain, "max", i),
            std=_at(plain, "std", i),
            first=_at(plain, "first", i),
            last=_at(plain, "last", i),
            sum=asked.get("sum"),
            time_mean=asked["tmean"] if "tmean" in asked else _at(plain, "tmean", i),
            quality=asked.get("good"),
            increase=asked.get("inc"),
            rate=asked.get("rate"),
            resets=None if resets is None else int(resets),
            percentiles=tuple(
                (float(percent), value)
                for percent, values in lists.percentiles.items()
                if (value := values[i]) is not None
            ),
            mean_step=None if digits is None else 1 / 10**digits,
        )


def _unscaled(
    series: SchemaRow, digits: int, numbers: Mapping[str, Sequence[Number]], path: str
) -> dict[str, Sequence[Number]]:
    decimals = series.decimals or 0
    if not decimals <= digits <= MAX_DIGITS or (series.kind == "f64" and series.decimals is None):
        raise Undecodable(path, f"{digits} digits of a mean of {series.kind}, {series.decimals} decimals")
    whole: dict[str, list[int]] = {}
    for name, values in numbers.items():
        whole[name] = [value for value in values if type(value) is int]
        if len(whole[name]) != len(values):
            raise Undecodable(path, f"{name} is no integer")
    scale, more = 10**digits, 10 ** (digits - decimals)
    means = whole["mean"]
    plain: dict[str, Sequence[Number]] = {"mean": [mean / scale for mean in means]}
    try:
        if "std" in whole:
            plain["std"] = [value / (scale * 10**STD_DIGITS) for value in whole["std"]]
        if "tmean" in whole:
            pairs = zip(whole["tmean"], means, strict=True)
            plain["tmean"] = [(value + mean) / scale for value, mean in pairs]
        for name in ("min", "max", "first", "last"):
            if name in whole:
                found = [value + mean // more for value, mean in zip(whole[name], means, strict=True)]
                floats = series.kind == "f64"
                plain[name] = [value / 10**decimals for value in found] if floats else found
    except OverflowError:
        raise Undecodable(path, "a number beyond all doubles") from None
    return plain


def _at(lists: Mapping[str, Sequence[Number]], name: str, i: int) -> Number | None:
    return lists[name][i] if name in lists else None
