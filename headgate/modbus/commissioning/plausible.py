"""Whether values look like what a profile says they are; pure. 'Plausible' is all that this can ever say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from typing import NamedTuple

from headgate.modbus.tags import Tag
from headgate.model import Value


class Range(NamedTuple):
    """What a quantity can be at all, and where its values tell something: zeros and noise are not there."""

    low: float
    high: float
    telling_low: float
    telling_high: float


TELLING: Mapping[str, Range] = {
    "V": Range(-1_000, 50_000, 80, 500),
    "Hz": Range(0, 500, 45, 65),
    "°C": Range(-60, 200, 1, 60),
    "%": Range(0, 105, 1, 100),
    "%RH": Range(0, 105, 1, 100),
}
"""By unit: line voltages of 110 to 400 V systems, 50 and 60 Hz, rooms and machines. A rule of thumb each."""
BOUNDS: Mapping[str, tuple[float, float]] = {
    "A": (-100_000, 100_000),
    "W": (-1e9, 1e9),
    "kW": (-1e6, 1e6),
    "VA": (-1e9, 1e9),
    "var": (-1e9, 1e9),
    "kWh": (-1e10, 1e10),
    "kvarh": (-1e10, 1e10),
    "°": (-360, 360),
}
_ONE_OF_FACTORS = "power_factor"
TINY = 1e-20
"""A float that is smaller and not zero is an integer, or another order, in a float's clothes."""
MIN_TELLING = 2


@dataclass(frozen=True, slots=True)
class Verdict:
    """How many values were looked at, tell something, and cannot be."""

    values: int
    telling: int
    against: tuple[str, ...] = ()

    @property
    def plausible(self) -> bool:
        """Nothing speaks against it, and enough for it."""
        return not self.against and self.telling >= MIN_TELLING


def judge(tags: Sequence[Tag], values: Sequence[Value]) -> Verdict:
    """Weigh the values of a profile's tags; None is a value that the tag calls not available."""
    telling = 0
    against = []
    for tag, value in zip(tags, values, strict=True):
        if value is None or isinstance(value, bool | str):
            continue
        low, high = bounds(tag)
        if not isfinite(value) or not low <= value <= high or 0 < abs(value) < TINY:
            against.append(f"{tag.name} = {value:g} {tag.unit}".rstrip())
        elif (known := TELLING.get(tag.unit)) and known.telling_low <= value <= known.telling_high:
            telling += 1
    return Verdict(len(values), telling, tuple(against))


def bounds(tag: Tag) -> tuple[float, float]:
    """What a tag's value can be at all, by its unit."""
    if tag.name.startswith(_ONE_OF_FACTORS):
        return -1.001, 1.001
    if (known := TELLING.get(tag.unit)) is not None:
        return known.low, known.high
    return BOUNDS.get(tag.unit, (-1e15, 1e15))


def tells(tag: Tag) -> bool:
    """Whether a tag's value can speak for a profile."""
    return tag.unit in TELLING


def worth_reading(tags: Sequence[Tag], most: int) -> list[Tag]:
    """The tags by which to try a profile: those that can speak for it first, at most so many."""
    return sorted(tags, key=lambda tag: not (tells(tag) or tag.name.startswith(_ONE_OF_FACTORS)))[:most]
