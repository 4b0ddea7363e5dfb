"""Multipart uploads in S3: made, signed for, listed and completed with the handler's own rights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from botocore.exceptions import ClientError

from headgate_cloud.filemessages import Plan

# What can be sent before the URLs expire, and what a gateway can hold; for more it asks again.
MAX_URLS: Final = 1_000


@dataclass(frozen=True, slots=True)
class Held:
    """A part that S3 holds."""

    etag: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Finished:
    """An object that is complete."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Uploads:
    """`client` is boto3's `s3` client (untyped), which signs with its own role's rights.

    Raises botocore's ClientError and BotoCoreError as they come, but for what a docstring names.
    """

    client: Any
    bucket: str
    expiry_s: int

    def create(self, key: str) -> str:
        made = self.client.create_multipart_upload(Bucket=self.bucket, Key=key, ChecksumAlgorithm="SHA256")
        return str(made["UploadId"])

    def abort(self, key: str, upload_id: str) -> None:
        """One that is gone already is as good."""
        try:
            self.client.abort_multipart_upload(Bucket=self.bucket, Key=key, UploadId=upload_id)
        except ClientError as error:
            _unless(error, "NoSuchUpload")

    def held(self, key: str, upload_id: str) -> dict[int, Held] | None:
        """The parts that S3 holds by number, or None where the upload is gone."""
        found: dict[int, Held] = {}
        try:
            pages = self.client.get_paginator("list_parts").paginate(
                Bucket=self.bucket, Key=key, UploadId=upload_id
            )
            for page in pages:
                for part in page.get("Parts", ()):
                    held = Held(part["ETag"], int(part["Size"]), part.get("ChecksumSHA256", ""))
                    found[int(part["PartNumber"])] = held
        except ClientError as error:
            _unless(error, "NoSuchUpload")
            return None
        return found

    def put_list(
        self, plan: Plan, key: str, upload_id: str, checksums: Sequence[str], done: Sequence[int]
    ) -> str:
        """Write the list of the missing parts' URLs; returns the URL to get it by."""
        missing = sorted(set(range(1, plan.parts + 1)) - set(done))[:MAX_URLS]
        urls = {str(n): self._part_url(key, upload_id, n, checksums[n - 1]) for n in missing}
        body = json.dumps({"upload_id": upload_id, "done": list(done), "urls": urls}, separators=(",", ":"))
        name = hashlib.sha256(upload_id.encode()).hexdigest()[:16]
        where = {"Bucket": self.bucket, "Key": f"lists/{plan.thing}/{plan.file_id}/{name}.json"}
        self.client.put_object(**where, Body=body.encode(), ContentType="application/json")
        return str(self.client.generate_presigned_url("get_object", Params=where, ExpiresIn=self.expiry_s))

    def complete(self, key: str, upload_id: str, parts: Mapping[int, Held]) -> None:
        named = [
            {"PartNumber": number, "ETag": part.etag, "ChecksumSHA256": part.sha256}
            for number, part in sorted(parts.items())
        ]
        try:
            self.client.complete_multipart_upload(
                Bucket=self.bucket, Key=key, UploadId=upload_id, MultipartUpload={"Parts": named}
            )
        except ClientError as error:
            _unless(error, "NoSuchUpload")  # another handler completed it; the object tells

    def finished(self, key: str) -> Finished | None:
        try:
            found = self.client.head_object(Bucket=self.bucket, Key=key, ChecksumMode="ENABLED")
        except ClientError as error:
            _unless(error, "404", "NoSuchKey", "NotFound")
            return None
        return Finished(int(found["ContentLength"]), str(found.get("ChecksumSHA256", "")))

    def _part_url(self, key: str, upload_id: str, number: int, sha256: str) -> str:
        params = {
            "Bucket": self.bucket,
            "Key": key,
            "UploadId": upload_id,
            "PartNumber": number,
            "ChecksumSHA256": sha256,  # becomes a signed header: with other bytes the URL is worth nothing
        }
        return str(self.client.generate_presigned_url("upload_part", Params=params, ExpiresIn=self.expiry_s))


def _unless(error: ClientError, *codes: str) -> None:
    if error.response["Error"]["Code"] not in codes:
        raise error
