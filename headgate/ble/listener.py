"""One advertising device: its packets become frames, each once; what it said last is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from headgate.ble.config import Device
from headgate.ble.decoders.quantity import Advert, Decode, Packet
from headgate.ble.packets import Freshness
from headgate.errors import Reject
from headgate.model import Frame, Quality, Value

Notice = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Sample:
    """The last value of a series, and when it was acquired (boottime)."""

    value: Value
    quality: int
    boot_ms: int


class Listener:
    """Decodes what one device sends. `indexes` are its tags' places in the driver's series table."""

    def __init__(self, device: Device, decode: Decode, indexes: Sequence[int], notice: Notice) -> None:
        self.device = device
        self.freshness = Freshness()
        self.last: dict[str, Sample] = {}
        self.heard_ms: int | None = None
        self.packets = 0
        self.undecoded = 0
        self._decode = decode
        self._indexes = dict(zip(device.tags, indexes, strict=True))
        self._notice = notice
        self._fault = ""

    def hear(self, advert: Advert) -> Frame | None:
        """The frame of a new packet; None for a repetition, another format, or a packet that is refused."""
        try:
            packet = self._decode(advert)
        except Reject as error:
            self.undecoded += 1
            self._say(str(error).partition(" in ")[0])
            return None
        if packet is None:
            return None
        self._say(
            "" if packet.unknown is None else f"object 0x{packet.unknown:02x} and what follows is unknown"
        )
        if not self.freshness.is_new(packet, advert.boot_ms):
            return None
        self.packets += 1
        self.heard_ms = advert.boot_ms
        return self._frame(packet, advert.boot_ms)

    def _frame(self, packet: Packet, boot_ms: int) -> Frame | None:
        series: list[int] = []
        values: list[Value] = []
        quality: list[int] = []
        for tag, index in self._indexes.items():
            if tag not in packet.raw:
                continue
            raw = packet.raw[tag]
            value = None if raw is None else self.device.quantity(tag).value(raw)
            code = int(Quality.BAD_VALUE if raw is None else Quality.GOOD)
            self.last[tag] = Sample(value, code, boot_ms)
            series.append(index)
            values.append(value)
            quality.append(code)
        if not series:
            return None
        return Frame(boot_ms, series, values, quality if any(quality) else ())

    def _say(self, fault: str) -> None:
        """Tell what is wrong with a device's packets once, until it is something else."""
        if fault and fault != self._fault:
            self._notice(f"{self.device.name}: {fault}")
        self._fault = fault
