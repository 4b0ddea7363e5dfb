"""One advertising device: its packets become frames, each once; what it said last is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from headgate.ble.config import Device
from headgate.ble.decoders.quantity import Advert, Decode
from headgate.ble.packets import Freshness
from headgate.ble.samples import Framer, Sample
from headgate.errors import Reject
from headgate.model import Frame

Notice = Callable[[str], None]
_REPLAYED = (
    "its counter went down: somebody sends a packet again, or the sensor counts anew, as some do after a "
    "change of battery; then its packets are taken again once the bridge was restarted"
)


class Listener:
    """Decodes what one device sends. `indexes` are its tags' places in the driver's series table."""

    def __init__(self, device: Device, decode: Decode, indexes: Sequence[int], notice: Notice) -> None:
        self.device = device
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
        return self._framer.last(tag)

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
        fault = packet.doubt
        if packet.unknown is not None:
            fault = f"object 0x{packet.unknown:02x} and what follows is unknown"
        if fault != self._fault:
            self._say(fault)
        replays = self.freshness.replays
        if not self.freshness.is_new(packet, advert.boot_ms):
            if replays == 0 < self.freshness.replays:
                self._notice(f"{self.device.name}: {_REPLAYED}")
            return None
        self.packets += 1
        self.heard_ms = advert.boot_ms
        return self._framer.frame(packet, advert)

    def _say(self, fault: str) -> None:
        """Tell what is wrong with a device's packets once, until it is something else."""
        if fault and fault != self._fault:
            self._notice(f"{self.device.name}: {fault}")
        self._fault = fault
