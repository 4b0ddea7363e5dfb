"""One sensor on the air: it counts what it sends and what it answers, and records it first."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from gateway_sim.ble import ess
from gateway_sim.ble.record import JsonLines, SentRecord
from gateway_sim.ble.sensors import Advertisement, Raws, Sensor

ADAPTER = "hci0"
ADAPTER_PATH = f"/org/bluez/{ADAPTER}"
RSSI_MEAN_DBM, RSSI_SPREAD_DBM = -63, 9


@dataclass(frozen=True, slots=True)
class Packet:
    """One measurement on its way; sent again it is the same packet."""

    count: int
    raws: Raws
    advertisement: Advertisement


class Station:
    """A sensor with its record, and that of its settings where it has any (`written`).

    `utc_ms` is the clock, `origin_ms` the UTC time of the story's second 0.
    """

    def __init__(
        self,
        sensor: Sensor,
        record: SentRecord,
        utc_ms: Callable[[], int],
        origin_ms: int,
        seed: int,
        written: JsonLines | None = None,
    ) -> None:
        self.settings = {setting.uuid: setting.content for setting in sensor.settings}
        self._written = written
        self.sensor, self.device = sensor, sensor.device
        self.path = f"{ADAPTER_PATH}/dev_{sensor.device.address.replace(':', '_')}"
        self._record, self._utc_ms, self._origin_ms = record, utc_ms, origin_ms
        self._noise = random.Random(f"{seed}/{sensor.device.name}/rssi")

    def packet(self) -> Packet:
        """Measure: the next packet."""
        self._record.adverts += 1
        count = self._record.adverts
        raws = self.sensor.measure(count, self._now_s())
        carried = {} if self.sensor.connectable else raws
        return Packet(count, carried, self.sensor.advertise(count, raws))

    def send(self, packet: Packet, *, heard: bool) -> None:
        """Record that the packet goes out now."""
        row: dict[str, object] = {"kind": "advert", "count": packet.count, "heard": heard}
        self._record.append({"t_ms": self._utc_ms(), **row, "raw": dict(packet.raws)})

    def connected(self) -> None:
        """A connection begins: what is read from now on belongs to a new session."""
        self._record.sessions += 1

    def read(self, tag: str) -> bytes:
        """Measure and record a read of the tag's characteristic; the bytes to answer with."""
        self._record.reads += 1
        raw = self.sensor.measure(0, self._now_s())[tag]
        number = f"{ess.CHARACTERISTICS[tag][0]:04x}"
        row = {"count": self._record.reads, "session": self._record.sessions, "characteristic": number}
        self._record.append({"t_ms": self._utc_ms(), "kind": "read", **row, "raw": {tag: raw}})
        return ess.value(tag, raw)

    def setting(self, uuid: str) -> bytes:
        """What a characteristic that can be written holds; the read is recorded."""
        self._note_setting("read", uuid, self.settings[uuid])
        return self.settings[uuid]

    def write(self, uuid: str, data: bytes, *, response: bool, taken: bool) -> None:
        """A write arrived: record it, and hold it from now on where it is taken."""
        self._note_setting("write", uuid, data, response=response, taken=taken)
        if taken:
            self.settings[uuid] = data

    def _note_setting(self, kind: str, uuid: str, data: bytes, **more: bool) -> None:
        if self._written is not None:
            row = {"session": self._record.sessions, "characteristic": uuid, "hex": data.hex(), **more}
            self._written.append({"t_ms": self._utc_ms(), "kind": kind, **row})

    def glance(self, tag: str) -> bytes:
        """The tag's value now, for a notification: none asked for it, so it is not recorded."""
        return ess.value(tag, self.sensor.measure(0, self._now_s())[tag])

    def rssi_dbm(self) -> int:
        """How strong the next transmission comes in."""
        return round(self._noise.gauss(RSSI_MEAN_DBM, RSSI_SPREAD_DBM / 3))

    def _now_s(self) -> float:
        return (self._utc_ms() - self._origin_ms) / 1000
