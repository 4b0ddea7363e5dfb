"""Having a gateway upload a file, and watching it: the Files table for its state, S3 for the parts so far."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import ClientError

from headgate_cloud.cli.asking import Question
from headgate_cloud.cli.cloud import Cloud
from headgate_cloud.cli.direct import ask
from headgate_cloud.cli.errors import NO_ANSWER, REFUSED, Complaint
from headgate_cloud.cli.link import Link
from headgate_cloud.cli.output import Bar
from headgate_cloud.cli.tables import COMPLETE, UPLOADING, CloudTables, FileRow

# Nothing announces to an operator that a table's row has changed, so it is looked at.
LOOK_S: Final = 0.5
REPLY_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Uploads:
    """`sleep` and `monotonic` are time's."""

    cloud: Cloud
    tables: CloudTables
    sleep: Callable[[float], None] = time.sleep
    monotonic: Callable[[], float] = time.monotonic

    def start(self, link: Link, thing: str, named: Mapping[str, str]) -> str:
        """Have it sent; returns its file id as soon as the gateway has agreed. Raises Complaint."""
        question = Question("fetch", {**named, "wait": False})
        (answer,) = ask(link, [thing], question, REPLY_S)
        if answer.reply is None:
            raise Complaint(f"{thing} did not answer within {REPLY_S:.0f} s", NO_ANSWER)
        if not answer.good:
            raise Complaint(
                f"{thing}: {answer.reply['status']} ({answer.reply['code']}): {answer.reply['detail']}",
                REFUSED,
            )
        found = (
            (answer.reply["result"] or {}).get("file_id") or answer.reply["file_id"] or named.get("file_id")
        )
        if not isinstance(found, str):
            raise Complaint(f"{thing} named no file in its reply", REFUSED)
        return found

    def complete(self, thing: str, file_id: str, timeout_s: float, bar: Bar) -> FileRow:
        """Wait until the cloud has it whole. Raises Complaint."""
        end = self.monotonic() + timeout_s
        while True:
            row = self.tables.file(thing, file_id)
            if row is not None:
                if row.state == COMPLETE:
                    bar(row.size_bytes, row.size_bytes)
                    return row
                bar(self._there(row), row.size_bytes)
            if self.monotonic() >= end:
                state = "not announced" if row is None else row.state
                raise Complaint(
                    f"{file_id} of {thing} is {state} after {timeout_s:.0f} s; it goes on without us: "
                    "fetch it again later, or wait longer with --timeout",
                    NO_ANSWER,
                )
            self.sleep(LOOK_S)

    def _there(self, row: FileRow) -> int:
        """Bytes that S3 holds of an upload under way; one that has just ended has none to list."""
        if row.state != UPLOADING or not row.upload_id:
            return 0
        pages: Any = self.cloud.client("s3").get_paginator("list_parts")
        try:
            return sum(
                part["Size"]
                for page in pages.paginate(Bucket=self.cloud.bucket(), Key=row.key, UploadId=row.upload_id)
                for part in page.get("Parts", [])
            )
        except ClientError:
            return 0
