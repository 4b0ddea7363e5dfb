"""The files handler: signs what a gateway asks to upload, completes and checks what it sent, confirms.

Any number of these run at once on the same file, on messages in any order and repeated: the row in Files says
which upload is in force, and changes only under a condition. A thing reaches its own keys alone.
"""

from __future__ import annotations

import functools
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import boto3
from botocore.config import Config

from headgate_cloud.filemessages import (
    Bad,
    Mismatch,
    Page,
    Plan,
    Sent,
    assemble,
    composite,
    confirmed,
    object_key,
    read,
    refused,
    urls,
)
from headgate_cloud.filetables import FileRow, FileTables
from headgate_cloud.ingest import IotData, Record, log
from headgate_cloud.uploads import Held, Uploads

RACES: Final = 3  # lost to other handlers in a row, before the message goes back to the queue


class Raced(Exception):
    """Other handlers changed the file again and again; the message comes again."""


@dataclass(frozen=True, slots=True)
class Files:
    """The parts a batch needs; `say` gets one mapping per event worth a log line."""

    tables: FileTables
    uploads: Uploads
    iot: IotData
    max_bytes: int
    now_ms: Callable[[], int]
    say: Callable[[Mapping[str, object]], None]

    def run(self, records: Sequence[Record]) -> list[str]:
        """Take a batch; returns the ids of the messages that must come again.

        All pages are kept before any is answered, so that a request in many pages is answered once.
        """
        failed: list[str] = []
        asked: dict[Plan, list[str]] = {}
        for record in records:
            message = record["messageId"]
            found = read(record["body"])
            try:
                match found:
                    case Page():
                        self.tables.keep_page(found, self.now_ms())
                        asked.setdefault(found.plan, []).append(message)
                    case Sent():
                        self._publish(found.thing, found.file_id, self.sent(found))
                    case Bad():
                        self._bad(found)
            except Exception as error:  # noqa: BLE001 the boundary: one bad message must not take its batch along
                failed.append(message)
                self._complain(error, message)
        for plan, messages in asked.items():
            try:
                self._publish(plan.thing, plan.file_id, self.parts(plan))
            except Exception as error:  # noqa: BLE001 the boundary, as above
                failed += messages
                self._complain(error, *messages)
        self.say({"event": "files", "records": len(records), "failed": len(failed)})
        return failed

    def parts(self, plan: Plan) -> bytes | None:
        """The answer to what has come of a request so far; None while pages are missing."""
        row = self.tables.get(plan.thing, plan.file_id)
        if row is None:
            return refused(plan.file_id, "unknown", "no such file was announced here; announce it, ask again")
        if row.size_bytes != plan.size_bytes:
            why = f"{plan.size_bytes} B are not the {row.size_bytes} B announced"
            return refused(plan.file_id, "mismatch", why)
        if plan.size_bytes > self.max_bytes:
            why = f"{plan.size_bytes} B are more than {self.max_bytes} B"
            return refused(plan.file_id, "too_large", why)
        try:
            checksums = assemble(plan, (parts for _, parts in self.tables.pages_of(plan)))
        except Mismatch as error:
            self.tables.forget_pages(plan)
            return refused(plan.file_id, "mismatch", str(error))
        return None if checksums is None else self._offer(plan, row, checksums)

    def _offer(self, plan: Plan, row: FileRow, checksums: Sequence[str]) -> bytes:
        for _ in range(RACES):
            if row.state == "complete":
                return self._settled(plan.file_id, row, plan.sha256)
            if row.fits(plan):
                held = self.uploads.held(row.key, row.upload_id)
                if held is not None:
                    done = [n for n, part in sorted(held.items()) if _right(plan, n, part, checksums)]
                    where = self.uploads.put_list(plan, row.key, row.upload_id, checksums, done)
                    return urls(plan.file_id, row.upload_id, where)
            if row.fits(plan) and self._is_finished(row, plan.sha256):
                self.tables.complete(plan.thing, plan.file_id, row.upload_id, self.now_ms())
            else:
                self._begin(plan, row)
            row = self._row(plan.thing, plan.file_id)
        raise Raced(f"{plan.thing}/{plan.file_id}")

    def _begin(self, plan: Plan, row: FileRow) -> None:
        """A new upload in force instead of the row's; where another handler was quicker, its stays."""
        key = object_key(plan.thing, plan.file_id, row.path)
        made = self.uploads.create(key)
        won = self.tables.begin(plan, key=key, upload_id=made, instead_of=row.upload_id, now_ms=self.now_ms())
        if not won:
            self.uploads.abort(key, made)
        elif row.upload_id:
            self.uploads.abort(row.key, row.upload_id)

    def sent(self, message: Sent) -> bytes:
        """Complete the upload from S3's own list of parts, check what came of it, and say so."""
        thing, file_id = message.thing, message.file_id
        row = self.tables.get(thing, file_id)
        if row is None:
            return refused(file_id, "unknown", "no such file was announced here; announce it, ask again")
        if row.state == "complete":
            return self._settled(file_id, row, row.sha256)
        if row.upload_id != message.upload_id:
            return refused(file_id, "no_such_upload", "another upload is in force; ask anew")
        held = self.uploads.held(row.key, row.upload_id)
        if held is not None:
            count = int(row.sha256.rpartition("-")[2])
            missing = set(range(1, count + 1)) - held.keys()
            if missing:
                why = f"{len(missing)} of {count} parts are missing, the first is {min(missing)}; ask anew"
                return refused(file_id, "no_such_upload", why)
            fault = _fault(row, held)
            if fault is not None:
                return self._give_up(thing, file_id, row, fault)
            self.uploads.complete(row.key, row.upload_id, held)
        if not self._is_finished(row, row.sha256):
            self.tables.drop_upload(thing, file_id, row.upload_id, self.now_ms())
            return refused(file_id, "no_such_upload", "the upload is gone; ask anew")
        self.tables.complete(thing, file_id, row.upload_id, self.now_ms())
        return self._settled(file_id, self._row(thing, file_id), row.sha256)

    def _give_up(self, thing: str, file_id: str, row: FileRow, fault: str) -> bytes:
        self.uploads.abort(row.key, row.upload_id)
        self.tables.drop_upload(thing, file_id, row.upload_id, self.now_ms())
        return refused(file_id, "mismatch", fault)

    def _settled(self, file_id: str, row: FileRow, sha256: str) -> bytes:
        if row.state != "complete":
            raise Raced(file_id)
        if row.sha256 != sha256:
            return refused(file_id, "mismatch", f"the file is here already with the checksum {row.sha256}")
        return confirmed(file_id, row.upload_id, row.key, row.sha256)

    def _is_finished(self, row: FileRow, sha256: str) -> bool:
        """A handler may have died between completing an upload and noting it."""
        found = self.uploads.finished(row.key) if row.key else None
        return found is not None and (found.size_bytes, found.sha256) == (row.size_bytes, sha256)

    def _row(self, thing: str, file_id: str) -> FileRow:
        row = self.tables.get(thing, file_id)
        if row is None:
            raise Raced(f"{thing}/{file_id}")
        return row

    def _publish(self, thing: str, file_id: str, answer: bytes | None) -> None:
        if answer is not None:
            self.iot.publish(topic=f"hg/v1/{thing}/dn/file", qos=0, payload=answer)
            self.say({"event": "answered", "thing": thing, "file_id": file_id, "bytes": len(answer)})

    def _bad(self, found: Bad) -> None:
        self.say({"event": "rejected", "thing": found.thing, "file_id": found.file_id, "why": found.why})
        if found.file_id:
            self._publish(found.thing, found.file_id, refused(found.file_id, "bad_request", found.why))

    def _complain(self, error: Exception, *messages: str) -> None:
        fault = f"{type(error).__name__}: {error}"
        self.say({"event": "failed", "error": fault, "messages": list(messages)})


def _right(plan: Plan, number: int, part: Held, checksums: Sequence[str]) -> bool:
    """A held part is done when it is the announced one."""
    return number <= plan.parts and (part.size_bytes, part.sha256) == (
        plan.bytes_of(number),
        checksums[number - 1],
    )


def _fault(row: FileRow, held: Mapping[int, Held]) -> str | None:
    """Why what S3 holds is not what was announced: the composite stands for every part's checksum."""
    size_bytes = sum(part.size_bytes for part in held.values())
    if size_bytes != row.size_bytes:
        return f"S3 holds {size_bytes} B of {row.size_bytes}"
    found = composite([part.sha256 for _, part in sorted(held.items())])
    return None if found == row.sha256 else f"the parts' composite is {found}, announced was {row.sha256}"


@functools.cache
def _files() -> Files:
    """Made once per process, at the first event; boto3 finds its endpoints in the environment by itself."""
    # "virtual" makes boto3 name the bucket's region in a URL; else a URL may be answered by a redirect.
    config = Config(signature_version="s3v4", s3={"addressing_style": "virtual"})
    return Files(
        FileTables(boto3.client("dynamodb"), os.environ["FILES_TABLE"], os.environ["FILE_PAGES_TABLE"]),
        Uploads(
            boto3.client("s3", config=config), os.environ["UPLOADS_BUCKET"], int(os.environ["URL_EXPIRY_S"])
        ),
        boto3.client("iot-data"),
        int(os.environ["MAX_FILE_BYTES"]),
        lambda: time.time_ns() // 1_000_000,
        log,
    )


def handler(event: Mapping[str, Sequence[Record]], context: object) -> dict[str, list[dict[str, str]]]:
    """AWS Lambda's entry: an SQS event in, the items to deliver again out (partial batch response)."""
    failed = _files().run(event["Records"])
    return {"batchItemFailures": [{"itemIdentifier": message} for message in failed]}
