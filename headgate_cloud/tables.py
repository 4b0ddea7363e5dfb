"""The three ingest tables in DynamoDB (docs/wire.md): every write is conditional or idempotent."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from botocore.exceptions import ClientError

from headgate_cloud.decoder import Previous
from headgate_cloud.intake import Arrival, Rejection

# boto3 publishes no types; a response is a nested mapping.
Response = dict[str, Any]


class DynamoDB(Protocol):
    """The calls of boto3's low-level `dynamodb` client that the handlers make."""

    def put_item(self, **kwargs: object) -> Response: ...
    def get_item(self, **kwargs: object) -> Response: ...
    def update_item(self, **kwargs: object) -> Response: ...
    def query(self, **kwargs: object) -> Response: ...
    def delete_item(self, **kwargs: object) -> Response: ...


class Kept(enum.Enum):
    """What became of an arrival."""

    NEW = "new"
    DUPLICATE = "duplicate"
    CONFLICT = "conflict"


@dataclass(frozen=True, slots=True)
class Tables:
    """Raises botocore's ClientError (throttled, denied) and BotoCoreError (no connection) as they come."""

    client: DynamoDB
    envelopes: str
    streams: str
    rejected: str

    def keep(self, arrival: Arrival) -> Kept:
        """Put once: the same key with the same digest is a duplicate, with another a conflict."""
        item: dict[str, object] = {
            "stream_key": {"S": arrival.stream_key},
            "seq": {"N": str(arrival.header.seq)},
            "body": {"B": arrival.body},
            "digest": {"S": arrival.digest},
            "codec": {"S": arrival.codec},
            "received_ms": {"N": str(arrival.received_ms)},
        }
        condition = "attribute_not_exists(seq) OR attribute_exists(shed)"  # a mark is no envelope
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
            )
        except ClientError as error:
            held = _held(error)
            return Kept.DUPLICATE if held["digest"]["S"] == arrival.digest else Kept.CONFLICT
        return Kept.NEW

    def reject(self, rejection: Rejection) -> None:
        """Kept by its digest, so the same bytes are kept once."""
        self.client.put_item(
            TableName=self.rejected,
            Item={
                "id": {"S": rejection.digest},
                "topic": {"S": rejection.topic},
                "body": {"B": rejection.body},
                "why": {"S": rejection.why},
                "received_ms": {"N": str(rejection.received_ms)},
            },
        )

    def up_to(self, stream_key: str) -> int:
        """The stored acknowledged-up-to; 0 for a stream never seen."""
        found = self.client.get_item(
            TableName=self.streams, Key={"stream_key": {"S": stream_key}}, ConsistentRead=True
        )
        return int(found.get("Item", {}).get("up_to", {"N": "0"})["N"])

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
