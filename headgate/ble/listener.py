"""One advertising device: its packets become frames, each once; what it said last is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from headgate.ble.config import Device
from headgate.ble.decoders.quantity import Advert, MakeDecode, Packet
from headgate.ble.packets import Freshness
from headgate.ble.reporting import Reporting
from headgate.ble.samples import Framer, Sample
from headgate.ble.staleness import Silence
from headgate.errors import Reject
from headgate.model import Frame, Quality

_STUCK = "its packets keep their number: it sends, and measures no more"
Notice = Callable[[str], None]
_REPLAYED = (
    "its counter went down: somebody sends a packet again, or the sensor counts anew, as some do after a "
    "change of battery; then its packets are taken again once the bridge was restarted"
)


class Listener:
    """Decodes what one device sends. `indexes` are its tags' places in the driver's series table.

    `stuck`: its packets have kept one number for longer than it may be silent. Its values are then uncertain.
    """

    __slots__ = (
        *("_content", "_fault", "_framer", "_notice", "_read", "_replays", "_thins"),
        *("device", "freshness", "heard_ms", "packets", "reporting", "silence", "stuck", "undecoded"),
    )

    def __init__(
        self, device: Device, make_decode: MakeDecode, indexes: Sequence[int], notice: Notice, boot_ms: int
    ) -> None:
        self.device = device
        self.silence = Silence(device, indexes, boot_ms)
        self.reporting = Reporting.of(device.report, device.tags, indexes, device.interval_ms)
        self.freshness = Freshness()
        self.heard_ms: int | None = None
        self.packets = 0
        self.undecoded = 0
        self.stuck = False
        self._content = device.format.content
        make = make_decode if self._content is None else self._content.make_read
        # What it reads is what `wanted` gives of an advertisement.
        self._read: Callable[[Any], Packet | None] = make(device.address, device.bind_key)
        self._framer = Framer(device, indexes)
        self._notice = notice
        self._fault = ""
        self._replays = 0
        self._thins = bool(device.report)

    def last(self, tag: str) -> Sample | None:
        """The last sample of a tag; None before the first."""
        sample = self._framer.last(tag)
        mark = self.silence.mark
        return sample if sample is None or mark is Quality.GOOD else sample._replace(quality=int(mark))

    def wanted(self, advert: Advert) -> Advert | bytes | None:
        """What of an advertisement `hear` needs; None where that is nothing."""
        content = self._content
        return advert if content is None else content.of(advert)

    def hear(self, wanted: Advert | bytes, boot_ms: int, rssi_dbm: int) -> Frame | None:
        """The frame of a new packet; None for a repetition, another format, what is refused or held back."""
        try:
            packet = self._read(wanted)
        except Reject as error:
            self.undecoded += 1
            self._say(str(error).partition(" in ")[0])
            return None
        if packet is None:
            return None
        if packet.doubt or packet.unknown is not None or self._fault:
            self._look(packet)
        if self.freshness.is_new(packet, boot_ms):
            if self.stuck:
                self.stuck = False
                self.reporting.forget()
        elif not self._counts_again(boot_ms):
            return None
        if self.silence.heard(boot_ms):
            self.reporting.forget()
        if self.stuck:
            packet = packet._replace(doubt=_STUCK)
        self.packets += 1
        self.heard_ms = boot_ms
        frame = self._framer.frame(packet, boot_ms, rssi_dbm)
        return self.reporting.thin(frame) if frame is not None and self._thins else frame

    def _counts_again(self, boot_ms: int) -> bool:
        """Whether a packet that is not new says something all the same: who repeats itself is there, so after
        a silence it does; and once where it has not counted on for as long as one may be silent.
        """
        replays = self.freshness.replays
        if replays > self._replays:
            if not self._replays:
                self._notice(f"{self.device.name}: {_REPLAYED}")
            self._replays = replays
            return False
        if self.silence.mark is not Quality.GOOD:
            self.freshness.since_ms = boot_ms  # what it said meanwhile nobody knows
            return True
        self.silence.since_ms = boot_ms
        since_ms = self.freshness.since_ms
        if not self.stuck and boot_ms - since_ms >= self.device.patience.gone_ms:
            self.stuck = True
            self._notice(f"{self.device.name}: for {(boot_ms - since_ms) / 1000:.0f} s {_STUCK}")
            self.reporting.forget()
            return True
        return False

    def _look(self, packet: Packet) -> None:
        """Tell of what is odd about a packet, and what was before."""
        fault = packet.doubt
        if packet.unknown is not None:
            fault = f"object 0x{packet.unknown:02x} and what follows is unknown"
        self._say(fault)

    def _say(self, fault: str) -> None:
        """Tell what is wrong with a device's packets once, until it is something else."""
        if fault and fault != self._fault:
            self._notice(f"{self.device.name}: {fault}")
        self._fault = fault
