"""One advertising device: its packets become frames, each once; what it said last is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from headgate.ble.config import Device
from headgate.ble.decoders.quantity import Advert, Decode
from headgate.ble.packets import Freshness
from headgate.ble.reporting import Reporting
from headgate.ble.samples import Framer, Sample
from headgate.ble.staleness import Silence
from headgate.errors import Reject
from headgate.model import Frame, Quality

Notice = Callable[[str], None]
_REPLAYED = (
    "its counter went down: somebody sends a packet again, or the sensor counts anew, as some do after a "
    "change of battery; then its packets are taken again once the bridge was restarted"
)


class Listener:
    """Decodes what one device sends. `indexes` are its tags' places in the driver's series table."""

    __slots__ = (
        *("_decode", "_fault", "_framer", "_notice"),
        *("device", "freshness", "heard_ms", "packets", "reporting", "silence", "undecoded"),
    )

    def __init__(
        self, device: Device, decode: Decode, indexes: Sequence[int], notice: Notice, boot_ms: int
    ) -> None:
        self.device = device
        self.silence = Silence(device, indexes, boot_ms)
        self.reporting = Reporting.of(device.report, device.tags, indexes, device.interval_ms)
        self.freshness = Freshness()
        self.heard_ms: int | None = None
        self.packets = 0
        self.undecoded = 0
        self._decode = decode
        self._framer = Framer(device, indexes)
        self._notice = notice
        self._fault = ""

    def last(self, tag: str) -> Sample | None:
        """The last sample of a tag; None before the first."""
        sample = self._framer.last(tag)
        mark = self.silence.mark
        return sample if sample is None or mark is Quality.GOOD else sample._replace(quality=int(mark))

    def hear(self, advert: Advert) -> Frame | None:
        """The frame of a new packet; None for a repetition, another format, what is refused or held back."""
        try:
            packet = self._decode(advert)
        except Reject as error:
            self.undecoded += 1
            self._say(str(error).partition(" in ")[0])
            return None
        if packet is None:
            return None
        fault = packet.doubt
        if packet.unknown is not None:
            fault = f"object 0x{packet.unknown:02x} and what follows is unknown"
        if fault != self._fault:
            self._say(fault)
        replays = self.freshness.replays
        if not self.freshness.is_new(packet, advert.boot_ms):
            if replays == 0 < self.freshness.replays:
                self._notice(f"{self.device.name}: {_REPLAYED}")
            # Who repeats itself is there; after a silence what it says counts, new or not.
            if self.freshness.replays > replays or not self.silence.heard(advert.boot_ms):
                return None
            self.reporting.forget()
        elif self.silence.heard(advert.boot_ms):
            self.reporting.forget()
        self.packets += 1
        self.heard_ms = advert.boot_ms
        frame = self._framer.frame(packet, advert)
        return None if frame is None else self.reporting.thin(frame)

    def _say(self, fault: str) -> None:
        """Tell what is wrong with a device's packets once, until it is something else."""
        if fault and fault != self._fault:
            self._notice(f"{self.device.name}: {fault}")
        self._fault = fault
