"""Envelopes of codec compact that came before their schema: archived as bytes, expanded once it is told.

For each schema that such an envelope lacks there is a note (a row of the index, docs/wire.md), written before
the index names the envelope; the index row itself says that it waits. Whoever can decode it, the handler of
the schema's report, of the envelope sent again, or the one that stored it and looked once more, puts its rows
into a further object and turns the index to that under a condition: so they are there exactly once, whoever
dies or races.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from headgate_cloud import compact
from headgate_cloud.archive import Archive, Place, objects
from headgate_cloud.intake import Arrival
from headgate_cloud.schemas import Schemas
from headgate_cloud.strict import Undecodable
from headgate_cloud.tables import Busy, Kept, Response, Tables

MAX_EXPANDED: Final = 256
"""In one go, some ten seconds of a small handler; the report comes again for those that are left."""
_SEQ_DIGITS: Final = 28  # hexadecimal; a number of DynamoDB has 38 decimal digits


@dataclass(frozen=True, slots=True)
class Waiting:
    """Raises botocore's ClientError and BotoCoreError as they come."""

    tables: Tables
    archive: Archive
    schemas: Schemas

    def expanded(self, arrival: Arrival) -> Arrival:
        """With its envelope, or the flaw that showed; as it is where a schema is not known yet."""
        if arrival.envelope is not None or arrival.flaw is not None or not arrival.schemas:
            return arrival
        try:
            found = self.schemas.decode(arrival.thing, arrival.codec, arrival.body)
        except compact.UnknownSchema:
            return arrival
        except Undecodable as error:
            return replace(arrival, flaw=f"undecodable: {error}")
        return replace(arrival, envelope=found)

    def note(self, arrival: Arrival, place: Place) -> None:
        """Before the index names it: which schemas it lacks. Written again it is the same."""
        for key in self.schemas.unknown(arrival.thing, arrival.schemas):
            self.tables.client.put_item(
                TableName=self.tables.envelopes,
                Item={
                    **_note(arrival.thing, key, arrival.stream_key, arrival.header.seq, arrival.digest),
                    "of": {"S": arrival.stream_key},
                    "of_seq": {"N": str(arrival.header.seq)},
                    "digest": {"S": arrival.digest},
                    "object": {"S": place.key},
                    "line": {"N": str(place.line)},
                    "received_ms": {"N": str(arrival.received_ms)},
                },
            )

    def look_again(self, arrival: Arrival) -> Arrival | None:
        """After the index names it: the schema may have come meanwhile; what was expanded, if it was."""
        found = self.expanded(arrival)
        if found is arrival:
            return None
        self._keep([found])
        return found

    def told(self, thing: str, key: str) -> list[Arrival]:
        """A schema is known now: expand what waits for it, and give those whose flaw showed.

        Raises Busy where more than MAX_EXPANDED waited.
        """
        notes = self._notes(thing, key)
        bodies: dict[str, bytes] = {}
        ready: list[Arrival] = []
        for row in notes:
            place = Place(row["object"]["S"], int(row["line"]["N"]))
            if place.key not in bodies:
                bodies = {
                    place.key: self.archive.data(place.key)
                }  # notes of one object mostly follow each other
            found = self.expanded(
                _arrival(thing, row, self.archive.line(bodies[place.key], place, row["digest"]["S"]))
            )
            if found.envelope is not None or found.flaw is not None:
                ready.append(found)
        self._keep(ready)
        for row in notes:  # what lacks another schema has a note for that one too
            self.tables.client.delete_item(
                TableName=self.tables.envelopes, Key={name: row[name] for name in ("stream_key", "seq")}
            )
        if len(notes) == MAX_EXPANDED:
            raise Busy(f"more than {MAX_EXPANDED} envelopes of {thing} wait for schema {key}")
        return [arrival for arrival in ready if arrival.flaw is not None]

    def _keep(self, arrivals: Iterable[Arrival]) -> list[Kept]:
        kept = []
        for together in objects(arrivals).values():
            places = self.archive.put(together)
            kept += [self.tables.keep(a, place)[0] for a, place in zip(together, places, strict=True)]
        return kept

    def _notes(self, thing: str, key: str) -> list[Response]:
        found = self.tables.client.query(
            TableName=self.tables.envelopes,
            KeyConditionExpression="stream_key = :key AND seq > :seq",
            ExpressionAttributeValues={":key": {"S": f"{thing}/waits/{key}"}, ":seq": {"N": "-1"}},
            ConsistentRead=True,
            Limit=MAX_EXPANDED,
        )
        rows: list[Response] = found["Items"][:MAX_EXPANDED]
        return sorted(rows, key=lambda row: (row["object"]["S"], int(row["line"]["N"])))


def _note(thing: str, key: str, stream_key: str, seq: int, digest: str) -> Mapping[str, object]:
    """The note's own key: by the schema, and a number made of which envelope it is."""
    named = hashlib.sha256(f"{stream_key}/{seq}/{digest}".encode()).hexdigest()[:_SEQ_DIGITS]
    return {"stream_key": {"S": f"{thing}/waits/{key}"}, "seq": {"N": str(int(named, 16))}}


def _arrival(thing: str, row: Response, body: bytes) -> Arrival:
    head, ids = compact.header(body)
    received_ms = int(row["received_ms"]["N"])
    return Arrival(thing, "compact", body, row["digest"]["S"], received_ms, head, schemas=ids)
