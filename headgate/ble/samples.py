"""From what was decoded to frames: values scaled, doubts and what is not available as quality; pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from headgate.ble.config import Device
from headgate.ble.decoders.quantity import RSSI, Advert, Characteristic, Packet
from headgate.errors import Reject
from headgate.model import Frame, Quality, Value

_GOOD, _UNCERTAIN, _BAD_VALUE = int(Quality.GOOD), int(Quality.UNCERTAIN), int(Quality.BAD_VALUE)


class Sample(NamedTuple):
    """The last value of a series, and when it was acquired (boottime)."""

    value: Value
    quality: int
    boot_ms: int


class Column(NamedTuple):
    """One tag's `place` in the driver's series table, and its quantity as it is quickest to use."""

    tag: str
    place: int
    divisor: int
    boolean: bool
    bounded: bool
    low: float
    high: float


class Framer:
    """Turns one device's packets into frames. `indexes` are its tags' places in the driver's series table."""

    def __init__(self, device: Device, indexes: Sequence[int]) -> None:
        self._last: dict[str, tuple[Value, int, int]] = {}
        self._columns = [
            _column(device, tag, index)
            for tag, index in zip(device.tags, indexes, strict=True)
            if tag != RSSI.tag
        ]
        self._rssi = dict(zip(device.tags, indexes, strict=True)).get(RSSI.tag)

    def last(self, tag: str) -> Sample | None:
        """The last sample of a tag; None before the first."""
        found = self._last.get(tag)
        return None if found is None else Sample(*found)

    def frame(self, packet: Packet, advert: Advert) -> Frame | None:
        """The frame of a new packet; None when it has none of the device's tags."""
        raws, doubtful, boot_ms, last = packet.raw, packet.doubtful, advert.boot_ms, self._last
        fine = _UNCERTAIN if packet.doubt else _GOOD
        series: list[int] = []
        values: list[Value] = []
        quality: list[int] = []
        for tag, place, divisor, boolean, bounded, low, high in self._columns:
            if tag not in raws:
                continue
            raw = raws[tag]
            value: Value = raw
            code = fine
            if doubtful and tag in doubtful:
                code = _UNCERTAIN
            if raw is None:
                code = _BAD_VALUE
            elif not isinstance(raw, str):
                if bounded and not low <= raw <= high:
                    code = _UNCERTAIN
                if divisor:
                    value = raw / divisor
                elif boolean:
                    value = bool(raw)
            last[tag] = (value, code, boot_ms)
            series.append(place)
            values.append(value)
            quality.append(code)
        if not series:
            return None
        if self._rssi is not None:
            last[RSSI.tag] = (advert.rssi_dbm, _GOOD, boot_ms)
            series.append(self._rssi)
            values.append(advert.rssi_dbm)
            quality.append(_GOOD)
        return Frame(boot_ms, series, values, quality if any(quality) else ())


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


def _column(device: Device, tag: str, index: int) -> Column:
    quantity = device.quantity(tag)
    low = float("-inf") if quantity.low is None else quantity.low
    high = float("inf") if quantity.high is None else quantity.high
    bounded = quantity.low is not None or quantity.high is not None
    return Column(tag, index, quantity.divisor, quantity.form == "bool", bounded, low, high)
