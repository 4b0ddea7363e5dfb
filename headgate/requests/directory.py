"""What the hub knows of the gateway's devices: whose they are, when they were heard, how they are. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headgate.model import Batch, Quality, Series

MAX_DEVICES = 10_000
_ALIVE = (Quality.GOOD, Quality.UNCERTAIN)


@dataclass(slots=True)
class Heard:
    """One device as its frames tell. `last_ms`: UTC of the newest frame with a value that can be used."""

    source: str
    alive: bool
    last_ms: int | None


class Directory:
    """Devices by name, from the site document and from the frames that came since start."""

    def __init__(self) -> None:
        self._configured: Mapping[str, str] = {}
        self._heard: dict[str, Heard] = {}
        self._names: dict[bytes, tuple[str, ...]] = {}

    def configured(self, devices: Mapping[str, str]) -> None:
        """The site document's devices, each with its source."""
        self._configured = dict(devices)

    def heard(self, batch: Batch, table: Sequence[Series]) -> None:
        """Take in a batch's frames; a frame is one device's."""
        names = self._names.get(batch.dictionary)
        if names is None:
            names = self._names[batch.dictionary] = tuple(s.name.partition("/")[0] for s in table)
            if len(self._names) > 64:
                self._names.pop(next(iter(self._names)))
        for frame in batch.frames:
            if not frame.series or frame.series[0] >= len(names):
                continue
            name = names[frame.series[0]]
            device = self._heard.get(name)
            if device is None:
                if len(self._heard) >= MAX_DEVICES:
                    continue
                device = self._heard[name] = Heard(batch.bridge, False, None)
            device.source = batch.bridge
            device.alive = not frame.quality or any(code in _ALIVE for code in frame.quality)
            if device.alive:
                device.last_ms = max(device.last_ms or 0, frame.boot_ms + batch.utc_offset_ms)

    def ended(self, source: str) -> None:
        """A bridge was stopped on purpose: how its devices are, nobody knows any more."""
        self._heard = {name: device for name, device in self._heard.items() if device.source != source}

    def source_of(self, device: str) -> str | None:
        """The bridge that a device belongs to."""
        if device in self._configured:
            return self._configured[device]
        heard = self._heard.get(device)
        return heard.source if heard is not None else None

    def devices(self) -> list[dict[str, Any]]:
        """As `list` gives them: `ok`, `silent` (its last frame was bad) or `unknown` (none since start)."""
        found = []
        for name in sorted({*self._configured, *self._heard}):
            heard = self._heard.get(name)
            state = "unknown" if heard is None else "ok" if heard.alive else "silent"
            last_ms = None if heard is None else heard.last_ms
            found.append({"device": name, "source": self.source_of(name), "state": state, "last_ms": last_ms})
        return found


def devices_of(document: Mapping[str, Any]) -> dict[str, str]:
    """The devices of a valid site document: name -> the section that lists it, which is its bridge's name."""
    found: dict[str, str] = {}
    for section, value in document.items():
        devices = value.get("devices") if isinstance(value, Mapping) else None
        for device in devices if isinstance(devices, list) else []:
            name = device.get("name") if isinstance(device, Mapping) else None
            if isinstance(name, str):
                found[name] = section
    return found
