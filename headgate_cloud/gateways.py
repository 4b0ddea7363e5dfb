"""The table Gateways: when each gateway was last heard, and which are muted (docs/wire.md)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from botocore.exceptions import ClientError

from headgate_cloud.tables import DynamoDB, Response


@dataclass(frozen=True, slots=True)
class Gateway:
    """`told`: its silence has been reported, and not yet its return."""

    thing: str
    last_seen_ms: int
    muted: bool
    told: bool


@dataclass(frozen=True, slots=True)
class Gateways:
    """Raises botocore's ClientError and BotoCoreError as they come."""

    client: DynamoDB
    table: str

    def seen(self, thing: str, at_ms: int) -> None:
        """Never backwards: batches may end in any order."""
        try:
            self._set(thing, "last_seen_ms", {"N": str(at_ms)}, "last_seen_ms < :v")
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise

    def mute(self, thing: str, *, muted: bool) -> None:
        """A muted gateway may be silent; for one that was taken out of service, or is not there yet."""
        self._set(thing, "muted", {"BOOL": muted})

    def tell(self, thing: str, *, told: bool) -> None:
        self._set(thing, "told", {"BOOL": told})

    def all(self) -> Iterator[Gateway]:
        """Every gateway that ever sent: an eventually consistent scan, a page at a time."""
        start: Mapping[str, object] = {}
        while True:
            page = self.client.scan(
                TableName=self.table,
                ProjectionExpression="thing, last_seen_ms, muted, told",
                **start,
            )
            yield from map(gateway, page["Items"])
            if "LastEvaluatedKey" not in page:
                return
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def last_seen_ms(self, thing: str) -> int:
        """0 for one never seen."""
        found = self.client.get_item(TableName=self.table, Key={"thing": {"S": thing}})
        return gateway(found["Item"]).last_seen_ms if "Item" in found else 0

    def _set(self, thing: str, name: str, value: object, condition: str = "") -> None:
        where = {"ConditionExpression": f"attribute_not_exists({name}) OR {condition}"} if condition else {}
        self.client.update_item(
            TableName=self.table,
            Key={"thing": {"S": thing}},
            UpdateExpression=f"SET {name} = :v",
            ExpressionAttributeValues={":v": value},
            **where,
        )


def gateway(item: Response) -> Gateway:
    """From DynamoDB's form."""
    return Gateway(
        thing=str(item["thing"]["S"]),
        last_seen_ms=int(item.get("last_seen_ms", {"N": "0"})["N"]),
        muted=bool(item.get("muted", {}).get("BOOL", False)),
        told=bool(item.get("told", {}).get("BOOL", False)),
    )
