"""A file out of S3, checked against the gateway's composite SHA-256, put in place at the end."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from botocore.exceptions import BotoCoreError, ClientError

from headgate_cloud.cli.errors import CORRUPT, UNREACHABLE, Complaint
from headgate_cloud.cli.tables import FileRow

PIECE_BYTES: Final = 256 * 1024
ATTEMPTS: Final = 5  # in a row, without a byte in between


class Composite:
    """S3's SHA-256 of a multipart object: over the parts' digests, `-N` added; plain for one that is none."""

    def __init__(self, part_size_bytes: int | None) -> None:
        """`part_size_bytes` None: not multipart."""
        self._part_size_bytes = part_size_bytes
        self._digests: list[bytes] = []
        self._part = hashlib.sha256()
        self._in_part = 0

    def update(self, data: bytes) -> None:
        view = memoryview(data)
        while len(view):
            room = len(view) if self._part_size_bytes is None else self._part_size_bytes - self._in_part
            some = view[:room]
            self._part.update(some)
            self._in_part += len(some)
            view = view[room:]
            if self._in_part == self._part_size_bytes:
                self._close()

    def value(self) -> str:
        """Once, at the end."""
        if self._part_size_bytes is None:
            return base64.b64encode(self._part.digest()).decode()
        if self._in_part or not self._digests:
            self._close()
        whole = hashlib.sha256(b"".join(self._digests)).digest()
        return f"{base64.b64encode(whole).decode()}-{len(self._digests)}"

    def _close(self) -> None:
        self._digests.append(self._part.digest())
        self._part, self._in_part = hashlib.sha256(), 0


@dataclass(frozen=True, slots=True)
class Download:
    """`s3` is boto3's client (untyped); `progress` gets the bytes so far."""

    s3: Any
    bucket: str
    progress: Callable[[int], None]

    def to(self, row: FileRow, path: Path) -> None:
        """Write `path`; it appears whole and checked, or not at all. Raises Complaint, OSError."""
        check = Composite(self._part_size(row))
        unfinished = path.with_name(f".{path.name}.part")
        try:
            with unfinished.open("wb") as file:
                size_bytes = self._copy(row, file.write, check)
            if size_bytes != row.size_bytes:
                raise Complaint(f"{row.path}: {size_bytes} B arrived, {row.size_bytes} were sent", CORRUPT)
            if (found := check.value()) != row.sha256:
                raise Complaint(f"{row.path}: its checksum is {found}, not {row.sha256}", CORRUPT)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)

    def _copy(self, row: FileRow, write: Callable[[bytes], object], check: Composite) -> int:
        """Goes on where a connection broke, over the same version of the object."""
        done, tries = 0, 0
        same: dict[str, Any] = {}
        while True:
            more: dict[str, Any] = {"Range": f"bytes={done}-"} if done else {}
            before = done
            try:
                answer = self.s3.get_object(Bucket=self.bucket, Key=row.key, **more, **same)
                same = {"IfMatch": answer["ETag"]}
                for piece in answer["Body"].iter_chunks(PIECE_BYTES):
                    write(piece)
                    check.update(piece)
                    done += len(piece)
                    self.progress(done)
            except BotoCoreError as error:  # a broken stream; what AWS refuses is a ClientError
                tries = tries + 1 if done == before else 1
                if tries >= ATTEMPTS:
                    raise Complaint(f"{row.path}: {error}", UNREACHABLE) from None
                continue
            return done

    def _part_size(self, row: FileRow) -> int | None:
        if "-" not in row.sha256:
            return None
        if row.part_size_bytes:
            return row.part_size_bytes
        try:
            head = self.s3.head_object(Bucket=self.bucket, Key=row.key, PartNumber=1)
        except ClientError as error:
            raise Complaint(f"{row.path}: the size of its parts is not known: {error}", UNREACHABLE) from None
        size_bytes: int = head["ContentLength"]
        return size_bytes
