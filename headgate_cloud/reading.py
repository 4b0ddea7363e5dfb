"""Reads a gateway's envelopes back from the archive: by day, and of each object what the index names."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from headgate_cloud.archive import Archive, Place
from headgate_cloud.archiverows import PREFIX, Damaged, bytes_of, day_of
from headgate_cloud.compact import UnknownSchema
from headgate_cloud.forms import Envelope
from headgate_cloud.schemas import Schemas
from headgate_cloud.strict import Undecodable
from headgate_cloud.tables import Tables

DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Reader:
    """Memory for one object at a time. Raises botocore's errors as they come.

    `counts`: envelopes `read`; those of a schema that was never told, `unknown`; `undecodable`, `damaged`.
    """

    archive: Archive
    tables: Tables
    schemas: Schemas
    counts: Counter[str] = field(default_factory=Counter)

    def envelopes(self, thing: str, from_ms: int, to_ms: int) -> Iterator[Envelope]:
        """Those that came on the UTC days from `from_ms` to `to_ms`, each once."""
        for day_ms in range(from_ms - from_ms % DAY_MS, to_ms + 1, DAY_MS):
            for key in self._keys(f"{PREFIX}day={day_of(day_ms)}/thing={thing}/"):
                yield from self._object(thing, key)

    def _keys(self, prefix: str) -> Iterator[str]:
        pages = self.archive.client.get_paginator("list_objects_v2")
        for page in pages.paginate(Bucket=self.archive.bucket, Prefix=prefix):
            for found in page.get("Contents", ()):
                yield found["Key"]

    def _object(self, thing: str, key: str) -> Iterator[Envelope]:
        """What the index names elsewhere, or not at all, is stored elsewhere too, or came again."""
        try:
            lines = [json.loads(line) for line in gzip.decompress(self.archive.data(key)).splitlines()]
            keys = [(f"{thing}/{line['stream']}/{line['epoch']}", int(line["seq"])) for line in lines]
        except (OSError, EOFError, ValueError, KeyError, TypeError):
            self.counts["damaged"] += 1
            return
        held = self.tables.places(keys)
        for at, (line, named) in enumerate(zip(lines, keys, strict=True)):
            place, digest = held.get(named, (None, ""))
            if place == Place(key, at):
                found = self._decoded(thing, line, digest)
                if found is not None:
                    yield found

    def _decoded(self, thing: str, line: Mapping[str, Any], digest: str) -> Envelope | None:
        try:
            body = bytes_of(line)
            if hashlib.sha256(body).hexdigest() != digest:
                raise Damaged("its SHA-256 is another")
            found = self.schemas.decode(thing, str(line["codec"]), body)
        except UnknownSchema:
            self.counts["unknown"] += 1
        except Undecodable:
            self.counts["undecodable"] += 1
        except (Damaged, ValueError, KeyError, TypeError, AttributeError):
            self.counts["damaged"] += 1
        else:
            self.counts["read"] += 1
            return found
        return None
