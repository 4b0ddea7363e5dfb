"""What the devices served: their records, read as they grow, with every value as a raw integer."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from gateway_sim.checker.arrived import Raw, double_bits
from gateway_sim.checker.growing import GrowingFile
from gateway_sim.devices.plantfile import Device, Group, Plant, PlantError, served_path

FORMAT = {"uint16": "H", "int16": "h", "uint32": "I", "int32": "i", "float32": "f"}


@dataclass(frozen=True, slots=True)
class Poll:
    """One answered read of a group, or one packet: `raws` are parallel to the group's tags.

    One that is not `required` may arrive, once and right, and need not.
    """

    t_ms: int
    device: str
    group: str
    count: int
    raws: Sequence[Raw]
    required: bool = True


class RegisterDecoder:
    """Registers of one group to raw values; a float32 becomes the bits of the equal double."""

    def __init__(self, group: Group) -> None:
        self._size = group.count
        self._struct = struct.Struct(">" + "".join(FORMAT[tag.type] for tag in group.tags))
        self._floats = [index for index, tag in enumerate(group.tags) if tag.type == "float32"]

    def __call__(self, registers: Sequence[int]) -> list[Raw]:
        values: list[Raw] = list(self._struct.unpack(struct.pack(f">{self._size}H", *registers)))
        if self._floats:
            bits = double_bits([values[index] for index in self._floats])  # type: ignore[misc]  # floats here
            for index, value in zip(self._floats, bits, strict=True):
                values[index] = value
        return values


class ServedRecords:
    """Reads `<device>.served.jsonl` of every device; each call of `new` yields what came since the last."""

    def __init__(self, plant: Plant, directory: Path) -> None:
        self._files = [_File(device, served_path(directory, device.name)) for device in plant.devices]

    def new(self) -> Iterator[Poll]:
        """Answered reads of whole groups (others are none of the checker's business); raises PlantError."""
        for file in self._files:
            yield from file.new()


class _File:
    def __init__(self, device: Device, path: Path) -> None:
        self._device, self._lines = device.name, GrowingFile(path)
        self._decoders = {group.name: RegisterDecoder(group) for group in device.groups}

    def new(self) -> Iterator[Poll]:
        for line in self._lines.new():
            try:
                row = json.loads(line)
                if (name := row["group"]) is None:
                    continue
                raws = self._decoders[name](row["registers"])
                yield Poll(row["t_ms"], self._device, name, row["count"], raws)
            except (ValueError, KeyError, TypeError, struct.error) as error:
                told = f"{self._lines.path}: {line[:80]!r} does not fit plant.json ({error!r})"
                raise PlantError(f"{told}; did another plant use this directory?") from error
