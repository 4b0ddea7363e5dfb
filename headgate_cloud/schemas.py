"""Schemas of codec compact: kept as they are told, looked up when an envelope is to be read."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from headgate_cloud import compact, decoder
from headgate_cloud.compact import Schema
from headgate_cloud.forms import Envelope
from headgate_cloud.tables import DynamoDB

MAX_KNOWN = 10_000
"""Ids that a process remembers."""


@dataclass(frozen=True, slots=True)
class Schemas:
    """Rows of the table Streams under `{thing}/schema/{id}`. Raises botocore's errors as they come."""

    client: DynamoDB
    table: str
    _known: dict[tuple[str, str], Schema] = field(default_factory=dict)

    def keep(self, thing: str, report: Mapping[str, object]) -> None:
        """Store what a report of type schema tells, once; raises Undecodable where it is none."""
        key, rows = compact.schema(report)
        if (thing, key) in self._known:
            return
        text = json.dumps(report["series"], separators=(",", ":"))
        self.client.put_item(TableName=self.table, Item={**_key(thing, key), "series": {"S": text}})
        self._remember(thing, key, rows)

    def unknown(self, thing: str, ids: Iterable[str]) -> list[str]:
        """Those that were never told."""
        return sorted(key for key in ids if self.find(thing, key) is None)

    def find(self, thing: str, key: str) -> Schema | None:
        """The series of a schema; None where it was never told."""
        known = self._known.get((thing, key))
        if known is not None:
            return known
        found = self.client.get_item(TableName=self.table, Key=_key(thing, key), ConsistentRead=True)
        if "Item" not in found:
            return None
        rows = json.loads(found["Item"]["series"]["S"])
        return self._remember(thing, *compact.schema({"id": key, "series": rows}))

    def decode(self, thing: str, codec: str, body: bytes) -> Envelope:
        """An envelope of any codec. Raises Undecodable and compact.UnknownSchema."""
        if codec != "compact":
            return decoder.decode(body)
        _, ids = compact.header(body)
        found = {key: rows for key in ids if (rows := self.find(thing, key)) is not None}
        return compact.decode(body, found)

    def _remember(self, thing: str, key: str, rows: Schema) -> Schema:
        if len(self._known) >= MAX_KNOWN:
            self._known.clear()
        self._known[thing, key] = rows
        return rows


def _key(thing: str, key: str) -> dict[str, object]:
    return {"stream_key": {"S": f"{thing}/schema/{key}"}}
