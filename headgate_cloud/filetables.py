"""The tables of files in DynamoDB: what is known of each, and the pages of part checksums as they come."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from botocore.exceptions import ClientError

from headgate_cloud.filemessages import Page, Plan
from headgate_cloud.tables import DynamoDB, Response

PAGES_KEPT_S: Final = 2 * 24 * 3600  # as long as the bucket keeps an upload that nobody completes


@dataclass(frozen=True, slots=True)
class FileRow:
    """A file as the table has it; the last four are "" and 0 until it was asked for."""

    size_bytes: int
    path: str
    state: str
    upload_id: str
    key: str
    sha256: str
    part_size_bytes: int

    def fits(self, plan: Plan) -> bool:
        """An upload is under way for just this plan."""
        mine = (self.sha256, self.part_size_bytes)
        return self.upload_id != "" and mine == (plan.sha256, plan.part_size_bytes)


@dataclass(frozen=True, slots=True)
class FileTables:
    """Raises botocore's ClientError (throttled, denied) and BotoCoreError (no connection) as they come."""

    client: DynamoDB
    files: str
    pages: str

    def get(self, thing: str, file_id: str) -> FileRow | None:
        found = self.client.get_item(TableName=self.files, Key=_key(thing, file_id), ConsistentRead=True)
        return _row(found["Item"]) if "Item" in found else None

    def keep_page(self, page: Page, now_ms: int) -> None:
        """The same page again replaces itself."""
        self.client.put_item(
            TableName=self.pages,
            Item={
                **_page_key(page.plan, page.page),
                "parts": {"S": json.dumps(sorted(page.parts.items()), separators=(",", ":"))},
                "expires_s": {"N": str(now_ms // 1000 + PAGES_KEPT_S)},
            },
        )

    def pages_of(self, plan: Plan) -> Iterator[tuple[int, Mapping[int, str]]]:
        """The pages that are there, by number."""
        start: Mapping[str, object] = {}
        while True:
            found = self.client.query(
                TableName=self.pages,
                KeyConditionExpression="#plan = :plan",
                ExpressionAttributeNames={"#plan": "plan"},
                ExpressionAttributeValues={":plan": {"S": plan.pages_key}},
                ConsistentRead=True,
                **start,
            )
            for item in found["Items"]:
                yield int(item["page"]["N"]), dict(json.loads(item["parts"]["S"]))
            if "LastEvaluatedKey" not in found:
                return
            start = {"ExclusiveStartKey": found["LastEvaluatedKey"]}

    def forget_pages(self, plan: Plan) -> None:
        """Of a plan that contradicts itself, so that the next try starts afresh."""
        for number, _ in list(self.pages_of(plan)):
            self.client.delete_item(TableName=self.pages, Key=_page_key(plan, number))

    def begin(self, plan: Plan, *, key: str, upload_id: str, instead_of: str, now_ms: int) -> bool:
        """Put a new upload in force; False where another handler was there first."""
        sets: dict[str, object] = {
            "state": {"S": "uploading"},
            "upload_id": {"S": upload_id},
            "key": {"S": key},
            "sha256": {"S": plan.sha256},
            "part_size": {"N": str(plan.part_size_bytes)},
        }
        condition = "#upload_id = :old" if instead_of else "attribute_not_exists(#upload_id)"
        values: dict[str, object] = {":complete": {"S": "complete"}}
        if instead_of:
            values[":old"] = {"S": instead_of}
        condition += " AND #state <> :complete"
        return self._update(plan.thing, plan.file_id, sets, now_ms, condition, values)

    def complete(self, thing: str, file_id: str, upload_id: str, now_ms: int) -> bool:
        """Of the upload in force; False where it is not in force any more."""
        sets: dict[str, object] = {"state": {"S": "complete"}}
        return self._update(
            thing,
            file_id,
            sets,
            now_ms,
            "#upload_id = :old",
            {":old": {"S": upload_id}},
            names=("upload_id",),
        )

    def drop_upload(self, thing: str, file_id: str, upload_id: str, now_ms: int) -> bool:
        """Back to announced; False where that upload is not in force any more."""
        return self._update(
            thing,
            file_id,
            {"state": {"S": "announced"}},
            now_ms,
            "#upload_id = :old",
            {":old": {"S": upload_id}},
            names=("upload_id",),
            remove=True,
        )

    def _update(
        self,
        thing: str,
        file_id: str,
        sets: Mapping[str, object],
        now_ms: int,
        condition: str,
        values: Mapping[str, object],
        *,
        names: tuple[str, ...] = (),
        remove: bool = False,
    ) -> bool:
        # `state`, `key` and others are words of DynamoDB's own, so every name is escaped.
        sets = {**sets, "updated_ms": {"N": str(now_ms)}}
        expression = "SET " + ", ".join(f"#{name} = :{name}" for name in sets)
        try:
            self.client.update_item(
                TableName=self.files,
                Key=_key(thing, file_id),
                UpdateExpression=expression + (" REMOVE #upload_id" if remove else ""),
                ConditionExpression=condition,
                ExpressionAttributeNames={f"#{name}": name for name in (*sets, *names)},
                ExpressionAttributeValues={**{f":{name}": value for name, value in sets.items()}, **values},
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            return False
        return True


def _key(thing: str, file_id: str) -> dict[str, object]:
    return {"thing": {"S": thing}, "file_id": {"S": file_id}}


def _page_key(plan: Plan, page: int) -> dict[str, object]:
    return {"plan": {"S": plan.pages_key}, "page": {"N": str(page)}}


def _row(item: Response) -> FileRow:
    def text(name: str) -> str:
        return str(item.get(name, {"S": ""})["S"])

    return FileRow(
        size_bytes=int(item["size"]["N"]),
        path=text("path"),
        state=text("state"),
        upload_id=text("upload_id"),
        key=text("key"),
        sha256=text("sha256"),
        part_size_bytes=int(item.get("part_size", {"N": "0"})["N"]),
    )
