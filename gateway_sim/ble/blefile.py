"""`ble.json`: which sensors are on the air and on which bus, how it is written and read (docs/wire.md)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FILE_NAME = "ble.json"
RADIO_RECORD = "radio.jsonl"


class BleError(Exception):
    """A radio that cannot be described or started; the message names the place and the way out."""


@dataclass(frozen=True, slots=True)
class BleTag:
    """One value of a sensor: raw integer / 10^decimals."""

    name: str
    unit: str
    decimals: int


@dataclass(frozen=True, slots=True)
class BleDevice:
    """One sensor. `interval_s`: how often an advertising one sends, one that is read is to be.

    The first tag of an advertising sensor carries its count. `bind_key`: 32 hex digits, where it encrypts.
    `description`: its format, where only the site document knows it; `profile` is then its name.
    """

    name: str
    address: str
    profile: str
    bind_key: str | None
    interval_s: float
    tags: tuple[BleTag, ...]
    description: Mapping[str, Any] | None = None

    @property
    def is_read(self) -> bool:
        """Whether it is connected to and read; others advertise their values."""
        if self.description is None:
            return self.profile == "ess"
        return self.description.keys().isdisjoint(("company", "service"))

    def series(self) -> Iterator[str]:
        """The names `device/tag` of all its series."""
        return (f"{self.name}/{tag.name}" for tag in self.tags)


@dataclass(frozen=True, slots=True)
class Radio:
    """All sensors, the bus they are seen on, and what their story was told from."""

    seed: int
    origin_ms: int
    bus_address: str
    adapter: str
    control: str
    devices: tuple[BleDevice, ...]


def sent_path(directory: Path, device: str) -> Path:
    """Where the radio records what a sensor sent and which reads it answered."""
    return directory / f"{device}.sent.jsonl"


def settings_path(directory: Path, device: str) -> Path:
    """Where the radio records reads and writes of what can be set of a device."""
    return directory / f"{device}.settings.jsonl"


def write(radio: Radio, directory: Path) -> Path:
    """Write `ble.json` so that a reader sees all of it or none."""
    path = directory / FILE_NAME
    partial = path.with_suffix(".json.partial")
    partial.write_text(json.dumps(asdict(radio), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return partial.replace(path)


def read(directory: Path) -> Radio:
    """Read `ble.json`; raises BleError naming the file and the fault."""
    path = directory / FILE_NAME
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        return Radio(**{**body, "devices": tuple(_device(row) for row in body["devices"])})
    except FileNotFoundError:
        raise BleError(f"{path} is not there: is the radio running with --dir {directory}?") from None
    except (KeyError, TypeError, ValueError) as error:
        raise BleError(f"{path} does not describe a radio ({error!r}); see docs/wire.md") from error


def _device(row: dict[str, Any]) -> BleDevice:
    return BleDevice(**{**row, "tags": tuple(BleTag(**tag) for tag in row["tags"])})
