"""Reports that become rows of their own: a file announced, a reply to a job, a schema (docs/wire.md)."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from botocore.exceptions import ClientError

from headgate_cloud import decoder
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
    schemas: Schemas

    def take(self, arrival: Arrival) -> None:
        if arrival.header.kind != "report" or arrival.flaw is not None:
            return
        report = decoder.decode(arrival.body).report
        assert report is not None
        try:
            if report["type"] == "file":
                self._file(arrival, report)
            elif report["type"] == "reply":
                self._reply(arrival, report)
            elif report["type"] == "schema":
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
