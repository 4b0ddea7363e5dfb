"""S3's operations, as far as Headgate and its operators use them: a verified request in, an answer out."""

from __future__ import annotations

import email.utils
import re
import urllib.parse
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from gateway_sim.cloud.s3 import xml
from gateway_sim.cloud.s3.errors import S3Error
from gateway_sim.cloud.s3.signature import Head
from gateway_sim.cloud.s3.store import MAX_PARTS, Body, Object, Store, Upload

PAGE: Final = 1000  # AWS: ListParts and ListObjectsV2 give at most so many at once
_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)")
# What may stand in a query besides the signature's own X-Amz-*; anything else is refused by name.
_KNOWN: Final = (
    *("uploads", "uploadId", "partNumber", "part-number-marker", "max-parts"),
    *("list-type", "prefix", "start-after", "continuation-token", "max-keys", "encoding-type", "delimiter"),
    *("fetch-owner", "x-id"),
)


@dataclass(frozen=True, slots=True)
class Request:
    """A verified request; `body` is there where one came."""

    head: Head
    bucket: str
    key: str
    query: Mapping[str, str]
    body: Body | None

    def header(self, name: str) -> str:
        return self.head.headers.get(name, "")


@dataclass(frozen=True, slots=True)
class Answer:
    """`content` is the answer's body, or `[start, end)` of an object is."""

    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    content: bytes = b""
    found: Object | None = None
    start: int = 0
    end: int = 0
    again: bool = False  # a part that was held already was sent


def request(head: Head, body: Body | None = None) -> Request:
    """Path-style addressing: /bucket/key; raises S3Error for a query outside the subset."""
    bucket, _, key = urllib.parse.unquote(head.path.removeprefix("/")).partition("/")
    query = dict(urllib.parse.parse_qsl(head.query, keep_blank_values=True))
    for name in query:
        if name not in _KNOWN and not name.lower().startswith("x-amz-"):
            raise S3Error("NotImplemented", f"?{name[:64]} is not simulated")
    return Request(head, bucket, key, query, body)


class Service:
    """Any thread may call; raises S3Error."""

    def __init__(self, store: Store, now_s: Callable[[], float]) -> None:
        self._store, self._now_s = store, now_s
        self._operations: Mapping[tuple[str, str], Callable[[Request], Answer]] = {
            ("PUT", "bucket"): self._make_bucket,
            ("GET", "bucket"): self._list,
            ("GET", "uploads"): self._list_uploads,
            ("POST", "uploads"): self._begin,
            ("PUT", "upload"): self._put_part,
            ("GET", "upload"): self._list_parts,
            ("POST", "upload"): self._complete,
            ("DELETE", "upload"): self._abort,
            ("PUT", "object"): self._put,
            ("GET", "object"): self._get,
            ("HEAD", "object"): self._get,
            ("DELETE", "object"): self._delete,
        }

    def check(self, asked: Request) -> None:
        """What can be refused before the body is read."""
        if asked.head.method == "PUT" and "uploadId" in asked.query:
            _number(asked)
            upload = self._upload(asked)
            if upload.checksums and not asked.header("x-amz-checksum-sha256"):
                raise S3Error(
                    "InvalidRequest", "the upload was made with SHA256; the part has no such checksum"
                )

    def answer(self, asked: Request) -> Answer:
        kind = "bucket" if not asked.key else "upload" if "uploadId" in asked.query else "object"
        if "uploads" in asked.query:
            kind = "uploads"
        operation = self._operations.get((asked.head.method, kind))
        if operation is None:
            raise S3Error("MethodNotAllowed", f"{asked.head.method} of a {kind} is not simulated")
        return operation(asked)

    def _make_bucket(self, asked: Request) -> Answer:
        self._store.make_bucket(asked.bucket)
        return Answer()

    def _abort(self, asked: Request) -> Answer:
        self._store.abort(asked.bucket, asked.key, asked.query["uploadId"])
        return Answer(204)

    def _delete(self, asked: Request) -> Answer:
        self._store.delete(asked.bucket, asked.key)
        return Answer(204)

    def _put(self, asked: Request) -> Answer:
        body = _body(asked)
        checksum = asked.header("x-amz-checksum-sha256")
        kind = asked.header("content-type") or "binary/octet-stream"
        made = Object(asked.key, (body,), body.md5, checksum, kind, self._now_s())
        self._store.put(asked.bucket, made)
        return Answer(headers={"ETag": f'"{body.md5}"'})

    def _get(self, asked: Request) -> Answer:
        found = self._store.get(asked.bucket, asked.key)
        if asked.header("if-match") not in ("", "*", f'"{found.etag}"', found.etag):
            raise S3Error("PreconditionFailed", "the object has another ETag")
        size_bytes = found.size_bytes
        start, end, status = 0, size_bytes, 200
        headers = {
            "ETag": f'"{found.etag}"',
            "Content-Type": found.content_type,
            "Last-Modified": email.utils.formatdate(found.modified_s, usegmt=True),
            "Accept-Ranges": "bytes",
        }
        if asked.header("range"):
            start, end, status = *_range(asked.header("range"), size_bytes), 206
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{size_bytes}"
        elif asked.header("x-amz-checksum-mode").upper() == "ENABLED" and found.checksum:
            headers["x-amz-checksum-sha256"] = found.checksum
            headers["x-amz-checksum-type"] = "COMPOSITE" if "-" in found.checksum else "FULL_OBJECT"
        return Answer(status, headers, found=found, start=start, end=end)

    def _list(self, asked: Request) -> Answer:
        if asked.query.get("list-type") != "2" or asked.query.get("delimiter"):
            raise S3Error("NotImplemented", "of listings, ListObjectsV2 without a delimiter is simulated")
        prefix, limit = asked.query.get("prefix", ""), min(PAGE, int(asked.query.get("max-keys", PAGE)))
        after = asked.query.get("continuation-token") or asked.query.get("start-after", "")
        whole = self._store.listing(asked.bucket, prefix, after)
        page = whole[:limit]
        quoted = asked.query.get("encoding-type") == "url"
        more = len(whole) > limit
        children: list[xml.Child] = [
            ("Name", asked.bucket),
            ("Prefix", prefix),
            ("KeyCount", len(page)),
            ("MaxKeys", limit),
            ("IsTruncated", str(more).lower()),
            *([("EncodingType", "url")] if quoted else []),
            *([("NextContinuationToken", page[-1].key)] if more else []),
        ]
        for made in page:
            key = urllib.parse.quote(made.key) if quoted else made.key
            fields = [("Key", key), ("LastModified", xml.time(made.modified_s)), ("ETag", f'"{made.etag}"')]
            children.append(("Contents", [*fields, ("Size", made.size_bytes), ("StorageClass", "STANDARD")]))
        return _xml("ListBucketResult", *children)

    def _list_uploads(self, asked: Request) -> Answer:
        uploads: list[xml.Child] = [
            ("Upload", [("Key", upload.key), ("UploadId", upload.upload_id)])
            for upload in self._store.uploads(asked.bucket)
        ]
        return _xml(
            "ListMultipartUploadsResult", ("Bucket", asked.bucket), ("IsTruncated", "false"), *uploads
        )

    def _begin(self, asked: Request) -> Answer:
        algorithm = asked.header("x-amz-checksum-algorithm").upper()
        if algorithm not in ("", "SHA256"):
            raise S3Error("NotImplemented", f"checksum algorithm {algorithm} is not simulated; SHA256 is")
        kind = asked.header("content-type") or "binary/octet-stream"
        upload = self._store.begin(
            asked.bucket, asked.key, checksums=algorithm == "SHA256", content_type=kind
        )
        return _xml(
            "InitiateMultipartUploadResult",
            ("Bucket", asked.bucket),
            ("Key", asked.key),
            ("UploadId", upload.upload_id),
        )

    def _put_part(self, asked: Request) -> Answer:
        body, number = _body(asked), _number(asked)
        again = self._store.put_part(asked.bucket, asked.key, asked.query["uploadId"], number, body)
        headers = {"ETag": f'"{body.md5}"', "x-amz-checksum-sha256": body.sha256}
        return Answer(headers=headers, again=again)

    def _list_parts(self, asked: Request) -> Answer:
        upload = self._upload(asked)
        after = int(asked.query.get("part-number-marker") or 0)
        limit = min(PAGE, int(asked.query.get("max-parts", PAGE)))
        whole = [(number, body) for number, body in self._store.parts(upload) if number > after]
        page = whole[:limit]
        children: list[xml.Child] = [
            ("Bucket", asked.bucket),
            ("Key", asked.key),
            ("UploadId", upload.upload_id),
            ("PartNumberMarker", after),
            ("NextPartNumberMarker", page[-1][0] if page else 0),
            ("MaxParts", limit),
            ("IsTruncated", str(len(whole) > limit).lower()),
        ]
        for number, body in page:
            fields: list[xml.Child] = [
                ("PartNumber", number), ("ETag", f'"{body.md5}"'), ("Size", body.size_bytes)
            ]  # fmt: skip
            if upload.checksums:
                fields.append(("ChecksumSHA256", body.sha256))
            children.append(("Part", fields))
        return _xml("ListPartsResult", *children)

    def _complete(self, asked: Request) -> Answer:
        named = xml.named_parts(_body(asked).path.read_bytes())
        made = self._store.complete(asked.bucket, asked.key, asked.query["uploadId"], named, self._now_s())
        checksum: list[xml.Child] = [("ChecksumSHA256", made.checksum)] if made.checksum else []
        return _xml(
            "CompleteMultipartUploadResult",
            ("Bucket", asked.bucket),
            ("Key", asked.key),
            ("ETag", f'"{made.etag}"'),
            *checksum,
        )

    def _upload(self, asked: Request) -> Upload:
        return self._store.upload(asked.bucket, asked.key, asked.query["uploadId"])


def _xml(name: str, *children: xml.Child) -> Answer:
    return Answer(headers={"Content-Type": "application/xml"}, content=xml.document(name, *children))


def _body(asked: Request) -> Body:
    if asked.body is None:
        raise S3Error("MissingContentLength", "You must provide the Content-Length HTTP header.")
    return asked.body


def _number(asked: Request) -> int:
    number = asked.query.get("partNumber", "")
    if not number.isdecimal() or not 1 <= int(number) <= MAX_PARTS:
        raise S3Error("InvalidArgument", f"Part number must be an integer between 1 and {MAX_PARTS}")
    return int(number)


def _range(text: str, size_bytes: int) -> tuple[int, int]:
    match = _RANGE.fullmatch(text)
    if match is None or not any(match.groups()):
        raise S3Error("InvalidRange", f"{text[:64]!r} is not one range of bytes")
    first, last = match.groups()
    if not first:
        return max(0, size_bytes - int(last)), size_bytes
    start, end = int(first), min(size_bytes, int(last) + 1 if last else size_bytes)
    if start >= end:
        raise S3Error("InvalidRange", "The requested range is not satisfiable")
    return start, end
