"""From what was decoded to frames: values scaled, doubts and what is not available as quality; pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import inf
from operator import itemgetter
from typing import Any, NamedTuple

from headgate.ble.config import Device
from headgate.ble.decoders.quantity import RSSI, Characteristic, Packet, Quantity, Raw
from headgate.errors import Reject
from headgate.model import Frame, Quality, Value

_GOOD, _UNCERTAIN, _BAD_VALUE = int(Quality.GOOD), int(Quality.UNCERTAIN), int(Quality.BAD_VALUE)


MAX_PLANS = 64
"""Of one device; sensors say the same few things over and over."""


class Sample(NamedTuple):
    """The last value of a series, and when it was acquired (boottime)."""

    value: Value
    quality: int
    boot_ms: int


@dataclass(frozen=True, slots=True)
class Recipe:
    """How raws of some quantities become values. `steps`, by place: the bounds, and what a raw is divided by,
    0 where it is not; `bools`: the places of what is one.

    Devices of one kind share it. `pick` takes the raws, in order, out of all that a packet says; None where
    these are all that it says, in its order.
    """

    quantities: tuple[Quantity, ...]
    pick: Callable[[tuple[Any, ...]], tuple[Any, ...]] | None
    steps: tuple[tuple[int, float, float, int], ...]
    bools: tuple[int, ...]

    def values(self, raws: tuple[Any, ...]) -> list[Value] | None:
        """The values where all are there and none is in doubt; None: each must be looked at by itself."""
        if None in raws:
            return None
        values = [*raws]
        try:
            for at, low, high, divisor in self.steps:
                raw = raws[at]
                if not low <= raw <= high:
                    return None
                if divisor:
                    values[at] = raw / divisor
        except TypeError:  # a text where others have a number
            return None
        for at in self.bools:
            values[at] = bool(raws[at])
        return values

    def judged(self, raws: tuple[Raw, ...], packet: Packet) -> tuple[list[Value], list[int]]:
        """Each value and its quality."""
        values = [quantity.value(raw) for quantity, raw in zip(self.quantities, raws, strict=True)]
        codes = [
            _BAD_VALUE
            if raw is None
            else _UNCERTAIN
            if packet.doubt or quantity.tag in packet.doubtful or quantity.doubts(raw)
            else _GOOD
            for quantity, raw in zip(self.quantities, raws, strict=True)
        ]
        return values, codes


@dataclass(slots=True)
class Plan:
    """How one device's packets of the tags `said` become frames; `latest` is the last of these."""

    said: tuple[str, ...]
    recipe: Recipe
    series: tuple[int, ...]
    tags: tuple[str, ...]
    latest: Frame | None = None


class Framer:
    """Turns one device's packets into frames. `indexes` are its tags' places in the driver's series table."""

    __slots__ = ("_device", "_places", "_plan", "_plans", "_rssi")

    def __init__(self, device: Device, indexes: Sequence[int]) -> None:
        self._device = device
        self._places = dict(zip(device.tags, indexes, strict=True))
        self._rssi = RSSI.tag in self._places
        self._plans: dict[tuple[str, ...], Plan] = {}
        self._plan = Plan((), _recipe((), ()), (), ())

    def last(self, tag: str) -> Sample | None:
        """The last sample of a tag; None before the first."""
        frames = [(plan.latest, plan) for plan in self._plans.values() if tag in plan.tags]
        found: Sample | None = None
        for frame, plan in frames:
            if frame is not None and (found is None or frame.boot_ms >= found.boot_ms):
                at = plan.tags.index(tag)
                found = Sample(frame.values[at], frame.quality[at] if frame.quality else _GOOD, frame.boot_ms)
        return found

    def frame(self, packet: Packet, boot_ms: int, rssi_dbm: int) -> Frame | None:
        """The frame of a new packet; None when it has none of the device's tags."""
        said = packet.tags
        plan = self._plan  # the last one's: most devices say the same over and over
        if plan.said is not said:
            plan = self._plan = self._plans.get(said) or self._new_plan(said)
        if not plan.series:
            return None
        recipe = plan.recipe
        raws = packet.raws if recipe.pick is None else recipe.pick(packet.raws)
        values = None if packet.doubt or packet.doubtful else recipe.values(raws)
        codes: Sequence[int] = ()
        if values is None:
            values, codes = recipe.judged(raws, packet)
            if self._rssi:
                codes.append(_GOOD)  # of the signal's strength there is no doubt
        if self._rssi:
            values.append(rssi_dbm)
        frame = plan.latest = Frame(boot_ms, plan.series, values, codes if codes and any(codes) else ())
        return frame

    def _new_plan(self, said: tuple[str, ...]) -> Plan:
        if len(self._plans) >= MAX_PLANS:
            self._plans.clear()
        tags = tuple(tag for tag in self._places if tag in said and tag != RSSI.tag)
        told = (*tags, RSSI.tag) if self._rssi and tags else tags
        places = tuple(said.index(tag) for tag in tags)
        recipe = _recipe(
            tuple(self._device.quantity(tag) for tag in tags),
            None if places == (*range(len(said)),) else places,
        )
        plan = self._plans[said] = Plan(said, recipe, tuple(self._places[tag] for tag in told), told)
        return plan


def samples_of(characteristic: Characteristic, data: bytes, boot_ms: int) -> dict[str, Sample]:
    """By tag, the samples in what a characteristic was read as; no values where it cannot be decoded."""
    try:
        packet = characteristic.decode(data)
    except Reject:
        packet = Packet.of({})
    raws, found = packet.raw, {}
    for quantity in characteristic.quantities:
        tag = quantity.tag
        raw = raws.get(tag)
        code = _BAD_VALUE
        if raw is not None:
            doubt = tag in packet.doubtful or quantity.doubts(raw)
            code = _UNCERTAIN if doubt else _GOOD
        found[tag] = Sample(quantity.value(raw), code, boot_ms)
    return found


@lru_cache(MAX_PLANS)
def _recipe(quantities: tuple[Quantity, ...], places: tuple[int, ...] | None) -> Recipe:
    """The same object for devices of one kind: what all of them use stays in the machine's caches."""
    return Recipe(
        quantities,
        None if places is None else _pick(places),
        tuple(
            (i, -inf if each.low is None else each.low, inf if each.high is None else each.high, each.divisor)
            for i, each in enumerate(quantities)
            if each.divisor or each.low is not None or each.high is not None
        ),
        tuple(i for i, each in enumerate(quantities) if each.form == "bool"),
    )


def _pick(places: Sequence[int]) -> Callable[[tuple[Any, ...]], tuple[Any, ...]]:
    if len(places) > 1:
        return itemgetter(*places)
    return lambda raws: tuple(raws[at] for at in places)  # an itemgetter of one gives no tuple
