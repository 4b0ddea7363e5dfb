"""Ingest's tables in DynamoDB (docs/wire.md): every write is conditional or idempotent."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from botocore.exceptions import ClientError

from headgate_cloud.archive import Place
from headgate_cloud.decoder import Previous
from headgate_cloud.intake import Arrival, Rejection

# boto3 publishes no types; a response is a nested mapping.
Response = dict[str, Any]

MAX_KEYS: Final = 100  # DynamoDB, BatchGetItem
LOOKS: Final = 4  # at what BatchGetItem left out, before the messages go back to the queue


class DynamoDB(Protocol):
    """The calls of boto3's low-level `dynamodb` client that the handlers make."""

    def put_item(self, **kwargs: object) -> Response: ...
    def get_item(self, **kwargs: object) -> Response: ...
    def update_item(self, **kwargs: object) -> Response: ...
    def query(self, **kwargs: object) -> Response: ...
    def delete_item(self, **kwargs: object) -> Response: ...
    def batch_get_item(self, **kwargs: object) -> Response: ...
    def scan(self, **kwargs: object) -> Response: ...


class Kept(enum.Enum):
    """What became of an arrival."""

    NEW = "new"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"


class Busy(Exception):
    """DynamoDB left out again and again what it was asked for; the messages come again."""


@dataclass(frozen=True, slots=True)
class Held:
    """What the index has under a key; `flawed` yields to a sound envelope, what `waits` for a schema to the
    same envelope decoded.
    """

    digest: str
    flawed: bool
    waits: bool = False


@dataclass(frozen=True, slots=True)
class Known:
    """What was known of a batch before it: by stream key and seq, and up_to by stream key (0: never seen)."""

    held: Mapping[tuple[str, int], Held]
    up_to: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Tables:
    """Raises botocore's ClientError (throttled, denied) and BotoCoreError (no connection) as they come."""

    client: DynamoDB
    envelopes: str
    streams: str
    rejected: str

    def known(self, arrivals: Iterable[Arrival]) -> Known:
        """What both tables have of these, read consistently: a request for 100 rows. Raises Busy."""
        keys = dict.fromkeys((a.stream_key, a.header.seq) for a in arrivals)
        wanted: list[tuple[str, object]] = [
            (self.envelopes, {"stream_key": {"S": key}, "seq": {"N": str(seq)}}) for key, seq in keys
        ]
        streams = dict.fromkeys(key for key, _ in keys)
        wanted += [(self.streams, {"stream_key": {"S": key}}) for key in streams]
        held: dict[tuple[str, int], Held] = {}
        up_to = dict.fromkeys(streams, 0)
        for start in range(0, len(wanted), MAX_KEYS):
            for table, item in self._rows(wanted[start : start + MAX_KEYS]):
                key = item["stream_key"]["S"]
                if table == self.streams:
                    up_to[key] = int(item.get("up_to", {"N": "0"})["N"])
                elif "shed" not in item:  # a mark is no envelope
                    held[key, int(item["seq"]["N"])] = Held(
                        item["digest"]["S"], "rejected" in item, "waits" in item
                    )
        return Known(held, up_to)

    def places(self, keys: Iterable[tuple[str, int]]) -> dict[tuple[str, int], tuple[Place, str]]:
        """Where the sound ones of these (stream key, seq) are, and their digests. Raises Busy."""
        named = list(dict.fromkeys(keys))
        found = {}
        for start in range(0, len(named), MAX_KEYS):
            some = named[start : start + MAX_KEYS]
            wanted = [
                (self.envelopes, {"stream_key": {"S": key}, "seq": {"N": str(seq)}}) for key, seq in some
            ]
            for _, item in self._rows(wanted):
                if "object" in item and "rejected" not in item:
                    place = Place(item["object"]["S"], int(item["line"]["N"]))
                    key = (item["stream_key"]["S"], int(item["seq"]["N"]))
                    found[key] = (place, item["digest"]["S"])
        return found

    def _rows(self, wanted: Iterable[tuple[str, object]]) -> Iterator[tuple[str, Response]]:
        asked: dict[str, Any] = {}
        for table, key in wanted:
            asked.setdefault(table, {"Keys": [], "ConsistentRead": True})["Keys"].append(key)
        for _ in range(LOOKS):
            found = self.client.batch_get_item(RequestItems=asked)
            for table, items in found["Responses"].items():
                for item in items:
                    yield table, item
            asked = found.get("UnprocessedKeys") or {}
            if not asked:
                return
        raise Busy(f"{sum(len(rest['Keys']) for rest in asked.values())} rows were left out {LOOKS} times")

    def keep(self, arrival: Arrival, place: Place) -> tuple[Kept, str]:
        """Index an archived envelope, once: the same key with the same digest is a duplicate, with another a
        conflict. Gives the digest in force too."""
        item: dict[str, object] = {
            "stream_key": {"S": arrival.stream_key},
            "seq": {"N": str(arrival.header.seq)},
            "object": {"S": place.key},
            "line": {"N": str(place.line)},
            "digest": {"S": arrival.digest},
            "codec": {"S": arrival.codec},
            "received_ms": {"N": str(arrival.received_ms)},
        }
        condition = "attribute_not_exists(seq) OR attribute_exists(shed)"
        values: dict[str, object] = {}
        if arrival.waits:
            item["waits"] = {"S": arrival.digest}
        elif arrival.schemas:
            condition += " OR waits = :digest"  # the same envelope, and now it is decoded
            values = {"ExpressionAttributeValues": {":digest": {"S": arrival.digest}}}
        if arrival.flaw is not None:
            item["rejected"] = {"S": arrival.flaw}
        else:
            condition += " OR attribute_exists(rejected)"  # a sound envelope takes a flawed one's place
        try:
            self.client.put_item(
                TableName=self.envelopes,
                Item=item,
                ConditionExpression=condition,
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **values,
            )
        except ClientError as error:
            digest = str(_held(error)["digest"]["S"])
            return (Kept.DUPLICATE if digest == arrival.digest else Kept.CONFLICT), digest
        return Kept.NEW, arrival.digest

    def reject(self, rejection: Rejection) -> None:
        """Kept by its digest, so the same bytes are kept once."""
        self.client.put_item(
            TableName=self.rejected,
            Item={
                "id": {"S": rejection.digest},
                "topic": {"S": rejection.topic},
                "body": {"B": rejection.body},
                "why": {"S": rejection.why},
                "code": {"S": rejection.code},
                "received_ms": {"N": str(rejection.received_ms)},
            },
        )

    def seqs_after(self, stream_key: str, seq: int) -> Iterator[int]:
        """The stored seqs above `seq`, ascending; a page is read only when it is asked for."""
        start: Mapping[str, object] = {}
        while True:
            page = self.client.query(
                TableName=self.envelopes,
                KeyConditionExpression="stream_key = :key AND seq > :seq",
                ExpressionAttributeValues={":key": {"S": stream_key}, ":seq": {"N": str(seq)}},
                ProjectionExpression="seq",
                ConsistentRead=True,
                **start,
            )
            for item in page["Items"]:
                yield int(item["seq"]["N"])
            if "LastEvaluatedKey" not in page:
                return
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def advance(
        self, stream_key: str, up_to: int, *, prev: Previous | None, duplicates: int, now_ms: int
    ) -> int:
        """Raise up_to, never lower it; returns the one in force (another handler may be further)."""
        sets, values = ["updated_ms = :now"], {":now": {"N": str(now_ms)}, ":d": {"N": str(duplicates)}}
        if prev is not None:
            sets += ["prev_epoch = :epoch", "prev_seq = :prev"]
            values |= {":epoch": {"S": prev.epoch}, ":prev": {"N": str(prev.seq)}}
        try:
            self.client.update_item(
                TableName=self.streams,
                Key={"stream_key": {"S": stream_key}},
                UpdateExpression=f"SET {', '.join([*sets, 'up_to = :up'])} ADD duplicates :d",
                ConditionExpression="attribute_not_exists(up_to) OR up_to <= :up",
                ExpressionAttributeValues={**values, ":up": {"N": str(up_to)}},
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ClientError as error:
            held = int(_held(error)["up_to"]["N"])
        else:
            return up_to
        self.client.update_item(
            TableName=self.streams,
            Key={"stream_key": {"S": stream_key}},
            UpdateExpression=f"SET {', '.join(sets)} ADD duplicates :d",
            ExpressionAttributeValues=values,
        )
        return held


def _held(error: ClientError) -> Response:
    """The item that made a condition fail; any other error is raised again."""
    if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
        raise error
    found: Response = error.response["Item"]
    return found
