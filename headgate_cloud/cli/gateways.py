"""What the table Gateways holds of each gateway, and what an operator makes of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from headgate_cloud.cli.cloud import Cloud

SILENT_AFTER_MS: Final = 900_000
"""Three heartbeats of the default interval."""


@dataclass(frozen=True, slots=True)
class GatewayRow:
    """A gateway as the cloud knows it; 0, None, {} where it does not know. `health`: its last heartbeat."""

    thing: str
    last_seen_ms: int
    connected: bool | None
    connected_ms: int
    health_ms: int
    health: Mapping[str, Any]

    @property
    def seen_ms(self) -> int:
        """When anything was last heard of it."""
        heard_ms = self.connected_ms if self.connected else 0
        return max(self.last_seen_ms, self.health_ms, heard_ms)

    def state(self, now_ms: int) -> str:
        """`offline`: its connection ended, nothing came since; `silent`: nothing for too long; `online`."""
        if self.connected is False and self.connected_ms >= self.seen_ms:
            return "offline"
        interval_s = self.get("interval_s")
        interval_ms = 1_000 * interval_s if type(interval_s) is int else 0
        if now_ms - self.seen_ms > max(SILENT_AFTER_MS, 3 * interval_ms):
            return "silent"
        return "online"

    def get(self, *path: str) -> Any:
        """A value of the heartbeat, None where a step is missing."""
        found: Any = self.health
        for name in path:
            found = found.get(name) if isinstance(found, Mapping) else None
        return found

    def worst_bridge(self) -> str:
        """A bridge that is dead, or else the one with most silent devices; "" where all is well."""
        bridges = self.get("bridges")
        found = []
        for name, bridge in bridges.items() if isinstance(bridges, Mapping) else ():
            if not isinstance(bridge, Mapping):
                continue
            bad, good = (n if type(n := bridge.get(key)) is int else 0 for key in ("bad", "good"))
            if bridge.get("alive") is False:
                found.append((0, 0, f"{name}: no answer"))
            elif bad:
                found.append((1, -bad, f"{name}: {bad} of {bad + good} devices silent"))
        return min(found)[2] if found else ""

    def as_json(self, now_ms: int) -> dict[str, object]:
        return {
            "thing": self.thing,
            "state": self.state(now_ms),
            "last_seen_ms": self.seen_ms,
            "connected": self.connected,
            "connected_ms": self.connected_ms,
            "health_ms": self.health_ms,
            "health": self.health,
        }


def gateway_row(item: Mapping[str, Any]) -> GatewayRow:
    """From DynamoDB's form."""

    def number(name: str) -> int:
        return int(item.get(name, {}).get("N", "0"))

    health = json.loads(item["health"]["S"]) if "health" in item else {}
    return GatewayRow(
        thing=str(item["thing"]["S"]),
        last_seen_ms=number("last_seen_ms"),
        connected=item["connected"]["BOOL"] if "connected" in item else None,
        connected_ms=number("connected_ms"),
        health_ms=number("health_ms"),
        health=health,
    )


class GatewayTable:
    """Raises botocore's errors as they come, and Complaint where the table has no name."""

    def __init__(self, cloud: Cloud) -> None:
        self._table = cloud.table("Gateways")
        self._dynamodb = cloud.client("dynamodb")

    def all(self) -> Iterator[GatewayRow]:
        """Every gateway: an eventually consistent scan, a page at a time."""
        for page in self._dynamodb.get_paginator("scan").paginate(TableName=self._table):
            yield from map(gateway_row, page["Items"])

    def one(self, thing: str) -> GatewayRow | None:
        found = self._dynamodb.get_item(TableName=self._table, Key={"thing": {"S": thing}})
        return gateway_row(found["Item"]) if "Item" in found else None
