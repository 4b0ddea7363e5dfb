"""Buckets, objects and multipart uploads: what they are in memory, their bodies in files on disk.

A part's file becomes a piece of its object: completing an upload copies nothing. Keys never become paths.
"""

from __future__ import annotations

import base64
import hashlib
import itertools
import secrets
import shutil
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from gateway_sim.cloud.s3.errors import S3Error

# Amazon S3 user guide, "Amazon S3 multipart upload limits".
MIN_PART_BYTES: Final = 5 * 1024**2
MAX_PART_BYTES: Final = 5 * 1024**3
MAX_PARTS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Body:
    """Bytes that arrived whole: their file and digests (`sha256` in base64, `md5` in hex)."""

    path: Path
    size_bytes: int
    sha256: str
    md5: str


@dataclass(frozen=True, slots=True)
class Object:
    """An object; `checksum` is SHA-256 in base64, with `-N` the composite of N parts', or "" where none was
    asked for."""

    key: str
    pieces: tuple[Body, ...]
    etag: str
    checksum: str
    content_type: str
    modified_s: float

    @property
    def size_bytes(self) -> int:
        return sum(piece.size_bytes for piece in self.pieces)


@dataclass(slots=True)
class Upload:
    """A multipart upload that is neither complete nor aborted."""

    bucket: str
    key: str
    upload_id: str
    checksums: bool  # made with ChecksumAlgorithm=SHA256: then every part must carry its own
    content_type: str
    parts: dict[int, Body] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class NamedPart:
    """A part as CompleteMultipartUpload names it; `sha256` is "" where it was not given."""

    number: int
    etag: str
    sha256: str


class Store:
    """Under `root`, emptied at the start. Any thread may call; raises S3Error."""

    def __init__(self, root: Path) -> None:
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir(parents=True)
        self._root, self._numbers, self._lock = root, itertools.count(), threading.Lock()
        self._buckets: dict[str, dict[str, Object]] = {}
        self._uploads: dict[str, Upload] = {}

    def landing(self) -> Path:
        """A fresh file for a body to arrive in."""
        return self._root / f"{next(self._numbers):08d}"

    def make_bucket(self, bucket: str) -> None:
        with self._lock:
            if bucket in self._buckets:
                raise S3Error("BucketAlreadyOwnedByYou", bucket)
            self._buckets[bucket] = {}

    def put(self, bucket: str, made: Object) -> None:
        with self._lock:
            objects = self._objects(bucket)
            replaced = objects.get(made.key)
            objects[made.key] = made
        _unlink(replaced.pieces if replaced else ())

    def get(self, bucket: str, key: str) -> Object:
        with self._lock:
            found = self._objects(bucket).get(key)
        if found is None:
            raise S3Error("NoSuchKey", "The specified key does not exist.")
        return found

    def delete(self, bucket: str, key: str) -> None:
        with self._lock:
            gone = self._objects(bucket).pop(key, None)
        _unlink(gone.pieces if gone else ())

    def listing(self, bucket: str, prefix: str, after: str) -> list[Object]:
        """By key, ascending."""
        with self._lock:
            objects = list(self._objects(bucket).values())
        return sorted((o for o in objects if o.key.startswith(prefix) and o.key > after), key=lambda o: o.key)

    def begin(self, bucket: str, key: str, *, checksums: bool, content_type: str) -> Upload:
        with self._lock:
            self._objects(bucket)
            upload = Upload(bucket, key, secrets.token_urlsafe(48), checksums, content_type)
            self._uploads[upload.upload_id] = upload
        return upload

    def uploads(self, bucket: str) -> list[Upload]:
        with self._lock:
            self._objects(bucket)
            return [upload for upload in self._uploads.values() if upload.bucket == bucket]

    def upload(self, bucket: str, key: str, upload_id: str) -> Upload:
        with self._lock:
            return self._upload(bucket, key, upload_id)

    def parts(self, upload: Upload) -> list[tuple[int, Body]]:
        with self._lock:
            return sorted(upload.parts.items())

    def put_part(self, bucket: str, key: str, upload_id: str, number: int, body: Body) -> bool:
        """Keep a part; True where one of that number was held already (which it replaces)."""
        with self._lock:
            parts = self._upload(bucket, key, upload_id).parts
            replaced = parts.get(number)
            parts[number] = body
        _unlink((replaced,) if replaced else ())
        return replaced is not None

    def abort(self, bucket: str, key: str, upload_id: str) -> None:
        with self._lock:
            gone = self._upload(bucket, key, upload_id)
            del self._uploads[upload_id]
        _unlink(tuple(gone.parts.values()))

    def complete(
        self, bucket: str, key: str, upload_id: str, named: Sequence[NamedPart], now_s: float
    ) -> Object:
        """Make the object of the parts named; parts not named are gone."""
        with self._lock:
            upload = self._upload(bucket, key, upload_id)
            pieces = tuple(_piece(upload, part) for part in named)
            _check_order(named, pieces)
            made = Object(
                key,
                pieces,
                etag=_composite_etag(pieces),
                checksum=composite([piece.sha256 for piece in pieces]) if upload.checksums else "",
                content_type=upload.content_type,
                modified_s=now_s,
            )
            del self._uploads[upload_id]
            objects = self._objects(bucket)
            replaced = objects.get(key)
            objects[key] = made
            unnamed = [body for body in upload.parts.values() if body not in pieces]
        _unlink((*unnamed, *(replaced.pieces if replaced else ())))
        return made

    def _objects(self, bucket: str) -> dict[str, Object]:
        if bucket not in self._buckets:
            raise S3Error("NoSuchBucket", f"The specified bucket does not exist: {bucket[:64]}")
        return self._buckets[bucket]

    def _upload(self, bucket: str, key: str, upload_id: str) -> Upload:
        found = self._uploads.get(upload_id)
        if found is None or (found.bucket, found.key) != (bucket, key):
            raise S3Error("NoSuchUpload", "The specified multipart upload does not exist.")
        return found


def composite(checksums: Sequence[str]) -> str:
    """S3's checksum of a multipart object: the SHA-256 of the parts' digests, `-N` behind it."""
    digests = b"".join(base64.b64decode(checksum) for checksum in checksums)
    return f"{base64.b64encode(hashlib.sha256(digests).digest()).decode()}-{len(checksums)}"


def _composite_etag(pieces: Sequence[Body]) -> str:
    digests = b"".join(bytes.fromhex(piece.md5) for piece in pieces)
    return f"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(pieces)}"


def _piece(upload: Upload, part: NamedPart) -> Body:
    held = upload.parts.get(part.number)
    if held is None or part.etag.strip('"') != held.md5:
        raise S3Error("InvalidPart", f"part {part.number} is not there or has another ETag")
    if upload.checksums and part.sha256 != held.sha256:
        raise S3Error("InvalidPart", f"part {part.number} needs its own ChecksumSHA256")
    return held


def _check_order(named: Sequence[NamedPart], pieces: Sequence[Body]) -> None:
    if not named:
        raise S3Error("MalformedXML", "You must specify at least one part")
    if any(one.number >= other.number for one, other in itertools.pairwise(named)):
        raise S3Error("InvalidPartOrder", "The list of parts was not in ascending order.")
    if any(piece.size_bytes < MIN_PART_BYTES for piece in pieces[:-1]):
        raise S3Error("EntityTooSmall", f"all parts but the last have at least {MIN_PART_BYTES} B")


def _unlink(bodies: Sequence[Body]) -> None:
    # Who reads one of them now has it open, and reads on.
    for body in bodies:
        body.path.unlink(missing_ok=True)
