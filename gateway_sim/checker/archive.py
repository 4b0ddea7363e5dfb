"""The archive as the checker reads it: an envelope's exact bytes from a line of an object (docs/wire.md)."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any, Final

from botocore.exceptions import ClientError

from gateway_sim.checker.arrived import DecodeError

OBJECTS_KEPT: Final = 64  # an object's envelopes are asked for one after another


class Archive:
    """`s3` is boto3's client (untyped)."""

    def __init__(self, s3: Any, bucket: str) -> None:
        self._s3, self._bucket = s3, bucket
        self._lines: dict[str, list[bytes]] = {}

    def body(self, key: str, line: int) -> bytes:
        """Raises DecodeError for what is not there or no archive, botocore's errors as they come."""
        lines = self._lines.get(key)
        if lines is None:
            if len(self._lines) == OBJECTS_KEPT:
                del self._lines[next(iter(self._lines))]
            lines = self._lines[key] = self._read(key)
        try:
            row = json.loads(lines[line])
            return base64.b64decode(row["body64"]) if "body64" in row else row["body"].encode("utf-8")
        except (ValueError, IndexError, KeyError, TypeError, AttributeError) as error:
            raise DecodeError(f"{key} has no envelope in line {line}: {error!r}") from error

    def _read(self, key: str) -> list[bytes]:
        try:
            data = self._s3.get_object(Bucket=self._bucket, Key=key)["Body"].read()
            return gzip.decompress(data).split(b"\n")
        except ClientError as error:
            if error.response["Error"]["Code"] in ("NoSuchKey", "404"):
                raise DecodeError(f"{key} is indexed, and not there") from error
            raise
        except (OSError, EOFError) as error:
            raise DecodeError(f"{key} is no archive: {error!r}") from error
