"""Reports that become rows of their own: a file announced, a reply to a job, a schema (docs/wire.md)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from botocore.exceptions import ClientError

from headgate_cloud.fetchrules import Announced, FetchRule, priority_of
from headgate_cloud.fetchtable import FetchTable
from headgate_cloud.health import HealthTable
from headgate_cloud.intake import Arrival
from headgate_cloud.schemas import Schemas
from headgate_cloud.strict import Undecodable, integer, mapping, string
from headgate_cloud.tables import DynamoDB

REPLIES_KEPT_S: Final = 90 * 24 * 3600
MAX_NAME: Final = 1_024
_FILE_ID: Final = re.compile(r"[0-9a-f]{32}")
_REQUEST_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")
_COUNT: Final = (0, 2**63 - 1)


@dataclass(frozen=True, slots=True)
class Reports:
    """Call `take` once an envelope is stored, and again with every repeat: nothing is done twice.

    Raises botocore's ClientError and BotoCoreError as they come. `say` hears of reports that are malformed.
    """

    client: DynamoDB
    files: str
    replies: str
    say: Callable[[Mapping[str, object]], None]
    fetches: FetchTable | None = None
    rules: tuple[FetchRule, ...] = ()
    health: HealthTable | None = None
    schemas: Schemas | None = None

    def take(self, arrival: Arrival) -> None:
        report = None if arrival.envelope is None else arrival.envelope.report
        if report is None:
            return
        try:
            if report["type"] == "file":
                self._file(arrival, report)
            elif report["type"] == "reply":
                self._reply(arrival, report)
            elif report["type"] == "health" and self.health is not None:
                self.health.beat(arrival, report)
            elif report["type"] == "schema" and self.schemas is not None:
                self.schemas.keep(arrival.thing, report)
        except Undecodable as error:
            key = f"{arrival.stream_key}/{arrival.header.seq}"
            self.say({"event": "malformed report", "envelope": key, "why": str(error)})

    def _file(self, arrival: Arrival, report: Mapping[str, object]) -> None:
        """What is announced never changes under one id; how far it came is not the announcement's to say."""
        values: dict[str, object] = {
            ":source": {"S": _name(report, "source")},
            ":path": {"S": _name(report, "path")},
            ":size": {"N": str(integer(report.get("size"), "$.report.size", _COUNT))},
            ":mtime_ms": {"N": str(integer(report.get("mtime_ms"), "$.report.mtime_ms"))},
        }
        file_id = string(report.get("file_id"), "$.report.file_id", _FILE_ID)
        names = [name.removeprefix(":") for name in values]
        sets = [f"#{name} = :{name}" for name in names]
        sets += ["#state = if_not_exists(#state, :state)", "#updated_ms = if_not_exists(#updated_ms, :now)"]
        self.client.update_item(
            TableName=self.files,
            Key={"thing": {"S": arrival.thing}, "file_id": {"S": file_id}},
            UpdateExpression=f"SET {', '.join(sets)}",
            ExpressionAttributeNames={f"#{name}": name for name in (*names, "state", "updated_ms")},
            ExpressionAttributeValues={
                **values,
                ":state": {"S": "announced"},
                ":now": {"N": str(arrival.received_ms)},
            },
        )
        self._wanted(arrival, report, file_id)

    def _wanted(self, arrival: Arrival, report: Mapping[str, object], file_id: str) -> None:
        """Into the queue of fetches, once, where a rule says so."""
        if self.fetches is None:
            return
        size_bytes = integer(report.get("size"), "$.report.size", _COUNT)
        age_s = (arrival.received_ms - integer(report.get("mtime_ms"), "$.report.mtime_ms")) / 1000
        file = Announced(_name(report, "source"), _name(report, "path"), size_bytes, age_s)
        priority = priority_of(file, self.rules)
        if priority is not None:
            now_ms = arrival.received_ms
            self.fetches.want(arrival.thing, file_id, priority, by="rule", now_ms=now_ms)

    def _reply(self, arrival: Arrival, report: Mapping[str, object]) -> None:
        """The first reply under an id stays; its repeats are the same."""
        reply = mapping(report.get("reply"), "$.report.reply")
        request_id = string(reply.get("id"), "$.report.reply.id", _REQUEST_ID)
        try:
            self.client.put_item(
                TableName=self.replies,
                Item={
                    "thing": {"S": arrival.thing},
                    "id": {"S": request_id},
                    "reply": {"S": json.dumps(reply, separators=(",", ":"), ensure_ascii=False)},
                    "received_ms": {"N": str(arrival.received_ms)},
                    "expires_s": {"N": str(arrival.received_ms // 1000 + REPLIES_KEPT_S)},
                },
                ConditionExpression="attribute_not_exists(thing)",
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise


def _name(report: Mapping[str, object], name: str) -> str:
    found = string(report.get(name), f"$.report.{name}")
    if not 0 < len(found) <= MAX_NAME:
        raise Undecodable(f"$.report.{name}", f"has 1 to {MAX_NAME} characters")
    return found
