"""From what was decoded to frames: values scaled, doubts and what is not available as quality; pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from headgate.ble.config import Device
from headgate.ble.decoders.quantity import RSSI, Advert, Characteristic, Packet, Quantity
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


class Column(NamedTuple):
    """One tag, and its quantity as it is quickest to use."""

    tag: str
    divisor: int
    boolean: bool
    bounded: bool
    low: float
    high: float


@dataclass(slots=True)
class Plan:
    """How packets that carry the same quantities become frames; `latest` is the last of these frames."""

    columns: tuple[Column, ...]
    series: tuple[int, ...]
    tags: tuple[str, ...]
    latest: Frame | None = None


class Framer:
    """Turns one device's packets into frames. `indexes` are its tags' places in the driver's series table."""

    def __init__(self, device: Device, indexes: Sequence[int]) -> None:
        self._device = device
        self._places = dict(zip(device.tags, indexes, strict=True))
        self._rssi = RSSI.tag in self._places
        self._plans: dict[tuple[str, ...], Plan] = {}

    def last(self, tag: str) -> Sample | None:
        """The last sample of a tag; None before the first."""
        frames = [(plan.latest, plan) for plan in self._plans.values() if tag in plan.tags]
        found: Sample | None = None
        for frame, plan in frames:
            if frame is not None and (found is None or frame.boot_ms >= found.boot_ms):
                at = plan.tags.index(tag)
                found = Sample(frame.values[at], frame.quality[at] if frame.quality else _GOOD, frame.boot_ms)
        return found

    def frame(self, packet: Packet, advert: Advert) -> Frame | None:
        """The frame of a new packet; None when it has none of the device's tags."""
        raws, doubtful = packet.raw, packet.doubtful
        key = tuple(raws)
        plan = self._plans.get(key) or self._plan(key)
        if not plan.columns:
            return None
        values: list[Value] = []
        add = values.append
        faults: list[tuple[int, int]] = []
        for tag, divisor, boolean, bounded, low, high in plan.columns:
            raw = raws[tag]
            if raw is None:
                faults.append((len(values), _BAD_VALUE))
                add(None)
                continue
            if bounded and not isinstance(raw, str) and not low <= raw <= high:
                faults.append((len(values), _UNCERTAIN))
            if divisor and not isinstance(raw, str):
                add(raw / divisor)
            else:
                add(bool(raw) if boolean else raw)
        quality = _codes(plan, packet, faults) if faults or doubtful or packet.doubt else ()
        if self._rssi:
            add(advert.rssi_dbm)
        frame = plan.latest = Frame(advert.boot_ms, plan.series, values, quality)
        return frame

    def _plan(self, raw_tags: tuple[str, ...]) -> Plan:
        if len(self._plans) >= MAX_PLANS:
            self._plans.clear()
        tags = tuple(tag for tag in self._places if tag in raw_tags and tag != RSSI.tag)
        told = (*tags, RSSI.tag) if self._rssi and tags else tags
        columns = _columns(tuple(self._device.quantity(tag) for tag in tags))
        plan = self._plans[raw_tags] = Plan(columns, tuple(self._places[tag] for tag in told), told)
        return plan


def _codes(plan: Plan, packet: Packet, faults: Sequence[tuple[int, int]]) -> list[int]:
    """The quality of each value, where not all are good; of the signal's strength there is no doubt."""
    fine = _UNCERTAIN if packet.doubt else _GOOD
    codes = [_UNCERTAIN if column.tag in packet.doubtful else fine for column in plan.columns]
    for at, code in faults:
        codes[at] = code
    codes += [_GOOD] * (len(plan.tags) - len(codes))
    return codes


def samples_of(characteristic: Characteristic, data: bytes, boot_ms: int) -> dict[str, Sample]:
    """By tag, the samples in what a characteristic was read as; no values where it cannot be decoded."""
    try:
        packet = characteristic.decode(data)
    except Reject:
        packet = Packet({})
    found = {}
    for quantity in characteristic.quantities:
        tag = quantity.tag
        raw = packet.raw.get(tag)
        code = _BAD_VALUE
        if raw is not None:
            doubt = tag in packet.doubtful or quantity.doubts(raw)
            code = _UNCERTAIN if doubt else _GOOD
        found[tag] = Sample(quantity.value(raw), code, boot_ms)
    return found


@lru_cache(MAX_PLANS)
def _columns(quantities: tuple[Quantity, ...]) -> tuple[Column, ...]:
    """The same object for devices of one kind: what all of them use stays in the machine's caches."""
    return tuple(map(_column, quantities))


def _column(quantity: Quantity) -> Column:
    low = float("-inf") if quantity.low is None else quantity.low
    high = float("inf") if quantity.high is None else quantity.high
    bounded = quantity.low is not None or quantity.high is not None
    return Column(quantity.tag, quantity.divisor, quantity.form == "bool", bounded, low, high)
