"""What the table Gateways knows of a gateway's health and presence; the newest word wins (docs/wire.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from botocore.exceptions import ClientError

from headgate_cloud.intake import Arrival
from headgate_cloud.strict import integer
from headgate_cloud.tables import DynamoDB


@dataclass(frozen=True, slots=True)
class HealthTable:
    """Raises botocore's ClientError and BotoCoreError as they come."""

    client: DynamoDB
    table: str

    def beat(self, arrival: Arrival, report: Mapping[str, object]) -> None:
        """A heartbeat, as often as it comes. Raises Undecodable.

        Within an epoch of the gateway the higher seq is the newer, whatever comes when; between epochs what
        was received later, because a gateway's own clock may have been wrong.
        """
        integer(report.get("t"), "$.report.t")
        head = arrival.header
        self._update(
            arrival.thing,
            "SET health = :health, health_ms = :ms, health_epoch = :epoch, health_seq = :seq",
            "attribute_not_exists(health_ms) OR (health_epoch = :epoch AND health_seq < :seq)"
            " OR (health_epoch <> :epoch AND health_ms < :ms)",
            {
                ":health": {"S": json.dumps(report, separators=(",", ":"), ensure_ascii=False)},
                ":ms": {"N": str(arrival.received_ms)},
                ":epoch": {"S": head.epoch},
                ":seq": {"N": str(head.seq)},
            },
        )

    def connected(self, thing: str, session: str, t_ms: int) -> None:
        """A client of that name connected; of a name that no gateway has, nothing is kept."""
        self._update(
            thing,
            "SET connected = :yes, connected_ms = :ms, connected_session = :session",
            "attribute_exists(thing) AND (attribute_not_exists(connected_ms) OR connected_ms <= :ms)",
            {":yes": {"BOOL": True}, ":ms": {"N": str(t_ms)}, ":session": {"S": session}},
        )

    def disconnected(self, thing: str, session: str, t_ms: int) -> None:
        """That session ended. One that another has replaced says nothing of the gateway any more."""
        self._update(
            thing,
            "SET connected = :no, connected_ms = :ms, connected_session = :session",
            "attribute_exists(thing) AND (attribute_not_exists(connected_ms)"
            " OR (connected_session = :session AND connected_ms <= :ms)"
            " OR (connected = :no AND connected_ms < :ms))",
            {":no": {"BOOL": False}, ":ms": {"N": str(t_ms)}, ":session": {"S": session}},
        )

    def _update(self, thing: str, update: str, condition: str, values: Mapping[str, object]) -> None:
        try:
            self.client.update_item(
                TableName=self.table,
                Key={"thing": {"S": thing}},
                UpdateExpression=update,
                ConditionExpression=condition,
                ExpressionAttributeValues=values,
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
