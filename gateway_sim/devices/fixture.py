"""A dumped device (schemas/fixture.v1.json), and what it answers to a request; own reader, pure."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from gateway_sim.devices.plantfile import PlantError

TABLE_OF_FUNCTION = {1: "coil", 2: "discrete", 3: "holding", 4: "input"}
BITS = ("coil", "discrete")
MOST = {"coil": 2000, "discrete": 2000, "holding": 125, "input": 125}
ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE = 1, 2, 3
SERVER_ID, ENCAPSULATED, IDENTIFICATION = 17, 43, 14
LAST_OF_CODE = {1: 0x02, 2: 0x7F, 3: 0xFF}
"""Greatest object of each read device id code (Modbus Application Protocol V1.1b3, 6.21)."""
ROOM = 253 - 7
"""Bytes for objects in one reply."""


class Refusal(Exception):
    """The request is refused with this exception code; 0: it goes unanswered."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Fixture:
    """One dumped device: values by table and address, exception codes by table and address."""

    unit: int
    values: Mapping[str, Mapping[int, int]]
    refused: Mapping[str, Sequence[tuple[int, int, int]]]
    objects: Mapping[int, bytes]
    conformity: int | None
    server_id: bytes | None

    def answer(self, function: int, data: bytes) -> bytes:
        """What stands behind the function code of the reply. Raises Refusal."""
        if function in TABLE_OF_FUNCTION and len(data) == 4:
            return self._read(TABLE_OF_FUNCTION[function], *struct.unpack(">HH", data))
        if function == SERVER_ID and self.server_id is not None:
            return bytes((len(self.server_id),)) + self.server_id
        if function == ENCAPSULATED and data[:1] == bytes((IDENTIFICATION,)) and self.objects:
            return self._identify(*data[1:3])
        raise Refusal(ILLEGAL_FUNCTION)

    def _read(self, table: str, address: int, count: int) -> bytes:
        if table not in self.values:
            raise Refusal(ILLEGAL_FUNCTION)
        if not 1 <= count <= MOST[table]:
            raise Refusal(ILLEGAL_VALUE)
        values = self.values[table]
        wanted = range(address, address + count)
        if any(at not in values for at in wanted):
            codes = (
                code
                for first, size, code in self.refused[table]
                if first < address + count and address < first + size
            )
            raise Refusal(next(codes, ILLEGAL_ADDRESS))
        found = [values[at] for at in wanted]
        if table in BITS:
            packed = sum(1 << i for i, bit in enumerate(found) if bit).to_bytes((count + 7) // 8, "little")
        else:
            packed = struct.pack(f">{count}H", *found)
        return bytes((len(packed),)) + packed

    def _identify(self, code: int, first: int) -> bytes:
        """A stream of objects: as many as there is room for, and where to go on."""
        if code not in LAST_OF_CODE:
            raise Refusal(ILLEGAL_VALUE)
        mine = [number for number in sorted(self.objects) if number <= LAST_OF_CODE[code]]
        start = first if first in mine else 0
        packed, count, more = b"", 0, 0
        for number in (number for number in mine if number >= start):
            value = self.objects[number]
            if len(packed) + 2 + len(value) > ROOM:
                more = number
                break
            packed += bytes((number, len(value))) + value
            count += 1
        conformity = self.conformity if self.conformity is not None else max(LAST_OF_CODE)
        head = (IDENTIFICATION, code, conformity, 0xFF if more else 0, more, count)
        return bytes(head) + packed


def read(path: Path) -> Fixture:
    """Read a fixture file, YAML or JSON; raises PlantError naming the file and the fault."""
    try:
        return _fixture(yaml.safe_load(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise PlantError(f"{path} cannot be read: {error.strerror}") from error
    except (KeyError, TypeError, ValueError, yaml.YAMLError) as error:
        raise PlantError(f"{path} is no fixture ({error!r}); see schemas/fixture.v1.json") from error


def _fixture(body: Mapping[str, Any]) -> Fixture:
    if body["schema"] != 1:
        raise ValueError(f"schema {body['schema']!r} is not known here")
    identity, tables = body["identity"], body["tables"]
    return Fixture(
        int(body["unit"]),
        {
            table: {
                row["address"] + i: int(value)
                for row in found["values"]
                for i, value in enumerate(row["values"])
            }
            for table, found in tables.items()
        },
        {
            table: [(row["address"], row["count"], row["exception"]) for row in found["refused"]]
            for table, found in tables.items()
        },
        {row["id"]: _bytes(row) for row in identity["objects"]},
        identity.get("conformity"),
        bytes.fromhex(identity["server_id"]) if "server_id" in identity else None,
    )


def _bytes(row: Mapping[str, Any]) -> bytes:
    return bytes.fromhex(row["hex"]) if "hex" in row else str(row["text"]).encode("ascii")
