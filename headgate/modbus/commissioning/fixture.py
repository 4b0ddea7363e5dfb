"""A dumped device as a document (schemas/fixture.v1.json): registers, refusals, identity; not where it is."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from headgate.modbus.commissioning.explore import Found
from headgate.modbus.commissioning.ranges import TableSpan
from headgate.modbus.tags import TABLES, Table

SCHEMA = 1
WIDTH = 110


@dataclass(frozen=True, slots=True)
class Fixture:
    """What a device had, redacted. `redacted`: which registers are not the device's own any more, and why."""

    unit: int
    objects: Mapping[int, bytes]
    conformity: int | None
    server_id: bytes | None
    tables: Mapping[Table, Found]
    redacted: Sequence[tuple[TableSpan, str]] = field(default=())

    def document(self) -> dict[str, Any]:
        """The fixture as JSON has it."""
        tables = {
            table: {
                "values": [
                    {"address": address, "values": [int(value) for value in values]}
                    for address, values in found.stretches.items()
                ],
                "refused": [
                    {"address": span.address, "count": span.count, "exception": code}
                    for span, code in found.refused
                ],
            }
            for table in TABLES
            if (found := self.tables.get(table)) is not None
        }
        redacted = [
            {"table": at.table, "address": at.span.address, "count": at.span.count, "why": why}
            for at, why in self.redacted
        ]
        identity: dict[str, Any] = {
            "objects": [{"id": number, **_bytes(value)} for number, value in sorted(self.objects.items())]
        }
        if self.conformity is not None:
            identity["conformity"] = self.conformity
        if self.server_id is not None:
            identity["server_id"] = self.server_id.hex()
        return {
            "schema": SCHEMA,
            "unit": self.unit,
            "identity": identity,
            "tables": tables,
            "redacted": redacted,
        }


def as_yaml(document: Mapping[str, Any]) -> str:
    """A fixture as YAML: registers in rows."""
    text: str = yaml.safe_dump(
        document, sort_keys=False, allow_unicode=True, default_flow_style=None, width=WIDTH
    )
    return text


def as_json(document: Mapping[str, Any]) -> str:
    """A fixture as JSON."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"


def _bytes(value: bytes) -> dict[str, str]:
    """Text where every byte is one of ASCII's printable characters, else digits."""
    if value.isascii() and value.decode("ascii").isprintable():
        return {"text": value.decode("ascii")}
    return {"hex": value.hex()}
