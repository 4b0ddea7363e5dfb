"""`plant.json`: what the simulated devices are, how it is written and read (docs/wire.md)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

RegisterType = Literal["uint16", "int16", "uint32", "int32", "float32"]
Table = Literal["holding", "input"]
WIDTH: Mapping[str, int] = {"uint16": 1, "int16": 1, "uint32": 2, "int32": 2, "float32": 2}
"""Registers that a value of each type takes; the high word comes first."""
FILE_NAME = "plant.json"


class PlantError(Exception):
    """A plant that cannot be described or started; the message names the place and the way out."""


@dataclass(frozen=True, slots=True)
class Tag:
    """One value of a device: raw integer / 10^decimals; `decimals` is None for float32."""

    name: str
    address: int
    type: RegisterType
    decimals: int | None
    unit: str


@dataclass(frozen=True, slots=True)
class Group:
    """One contiguous range read by one request every `interval_s`.

    `counter` is its first tag, which counts these reads; None of a device that has nothing of the kind.
    """

    name: str
    interval_s: float
    table: Table
    address: int
    count: int
    counter: str | None
    tags: tuple[Tag, ...]


@dataclass(frozen=True, slots=True)
class Setting:
    """What may be written to a device, and holds what was written last; `bit`: its place in the register."""

    name: str
    table: Literal["holding", "coil"]
    address: int
    type: Literal[RegisterType, "bit", "bool"]
    decimals: int | None
    unit: str
    bit: int | None = None


@dataclass(frozen=True, slots=True)
class Device:
    """One simulated device: Modbus TCP (host, port) or RTU on a pty (path, baudrate).

    `profile` names the real device whose register map it has.
    """

    name: str
    transport: Literal["tcp", "rtu"]
    unit: int
    groups: tuple[Group, ...]
    host: str | None = None
    port: int | None = None
    path: str | None = None
    baudrate: int | None = None
    settings: tuple[Setting, ...] = ()
    profile: str | None = None

    def series(self) -> Iterator[str]:
        """The names `device/tag` of all its series."""
        return (f"{self.name}/{tag.name}" for group in self.groups for tag in group.tags)


@dataclass(frozen=True, slots=True)
class Plant:
    """All devices, and what their story was told from: a seed, and the UTC time of its second 0."""

    seed: int
    origin_ms: int
    devices: tuple[Device, ...]

    def values_per_s(self) -> float:
        """Values that all groups yield when each is read at its interval."""
        return sum(len(group.tags) / group.interval_s for device in self.devices for group in device.groups)


def served_path(directory: Path, device: str) -> Path:
    """Where a device records what it served."""
    return directory / f"{device}.served.jsonl"


def write(plant: Plant, directory: Path) -> Path:
    """Write `plant.json` so that a reader sees all of it or none."""
    body = asdict(plant)
    for device in body["devices"]:
        for key in [key for key, value in device.items() if value is None]:
            del device[key]
    path = directory / FILE_NAME
    partial = path.with_suffix(".json.partial")
    partial.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")
    return partial.replace(path)


def read(directory: Path) -> Plant:
    """Read `plant.json`; raises PlantError naming the file and the fault."""
    path = directory / FILE_NAME
    try:
        return _plant(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError:
        raise PlantError(f"{path} is not there: is the plant running with --dir {directory}?") from None
    except (KeyError, TypeError, ValueError) as error:
        raise PlantError(f"{path} is not a plant description ({error!r}); see docs/wire.md") from error


def _plant(body: dict[str, Any]) -> Plant:
    return Plant(body["seed"], body["origin_ms"], tuple(_device(row) for row in body["devices"]))


def _device(row: dict[str, Any]) -> Device:
    groups = tuple(_group(group) for group in row["groups"])
    return Device(**{**row, "groups": groups, "settings": tuple(Setting(**s) for s in row["settings"])})


def _group(row: dict[str, Any]) -> Group:
    return Group(**{**row, "tags": tuple(Tag(**tag) for tag in row["tags"])})
