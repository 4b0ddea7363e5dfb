"""The tables Files and Replies, as the command line reads them (docs/requests.md)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, Final

from headgate_cloud.cli.cloud import Cloud

COMPLETE: Final = "complete"
UPLOADING: Final = "uploading"


@dataclass(frozen=True, slots=True)
class FileRow:
    """A file as the cloud knows it; "" and 0 where it does not know."""

    thing: str
    file_id: str
    source: str
    path: str
    size_bytes: int
    mtime_ms: int
    state: str
    upload_id: str
    key: str
    sha256: str
    part_size_bytes: int
    updated_ms: int

    def as_json(self) -> dict[str, object]:
        return asdict(self)


def file_row(item: dict[str, Any]) -> FileRow:
    """From DynamoDB's form."""

    def text(name: str) -> str:
        return str(item.get(name, {}).get("S", ""))

    def number(name: str) -> int:
        return int(item.get(name, {}).get("N", "0"))

    return FileRow(
        thing=text("thing"),
        file_id=text("file_id"),
        source=text("source"),
        path=text("path"),
        size_bytes=number("size"),
        mtime_ms=number("mtime_ms"),
        state=text("state"),
        upload_id=text("upload_id"),
        key=text("key"),
        sha256=text("sha256"),
        part_size_bytes=number("part_size"),
        updated_ms=number("updated_ms"),
    )


class CloudTables:
    """Raises botocore's errors as they come, and Complaint where a table has no name."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._dynamodb = cloud.client("dynamodb")

    def file(self, thing: str, file_id: str) -> FileRow | None:
        found = self._dynamodb.get_item(
            TableName=self._cloud.table("Files"),
            Key={"thing": {"S": thing}, "file_id": {"S": file_id}},
            ConsistentRead=True,
        )
        return file_row(found["Item"]) if "Item" in found else None

    def files(self, thing: str) -> Iterator[FileRow]:
        pages = self._dynamodb.get_paginator("query").paginate(
            TableName=self._cloud.table("Files"),
            KeyConditionExpression="thing = :thing",
            ExpressionAttributeValues={":thing": {"S": thing}},
        )
        for page in pages:
            yield from map(file_row, page["Items"])

    def reply(self, thing: str, request_id: str) -> dict[str, Any] | None:
        """A job's reply, once the gateway's report of it is in."""
        found = self._dynamodb.get_item(
            TableName=self._cloud.table("Replies"),
            Key={"thing": {"S": thing}, "id": {"S": request_id}},
            ConsistentRead=True,
        )
        if "Item" not in found:
            return None
        reply: dict[str, Any] = json.loads(found["Item"]["reply"]["S"])
        return reply
