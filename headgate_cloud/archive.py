"""The archive in S3: one object for each gateway, day and batch (docs/wire.md), never changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headgate_cloud.archiverows import body_of, day_of, object_key, packed
from headgate_cloud.intake import Arrival


@dataclass(frozen=True, slots=True)
class Place:
    """Where an envelope is: an object's key, and a line of it from 0."""

    key: str
    line: int


@dataclass(frozen=True, slots=True)
class Archive:
    """`client` is boto3's `s3` client (untyped); its errors come as they are."""

    client: Any
    bucket: str

    def put(self, arrivals: Sequence[Arrival]) -> list[Place]:
        """Store envelopes of one gateway and day as one object; where each is, in their order.

        Until the index names it an object means nothing, so a handler that dies here leaves no lie. The
        checksum makes S3 refuse what was changed on its way.
        """
        first = arrivals[0]
        key = object_key(first.thing, day_of(first.received_ms), arrivals)
        self.client.put_object(
            Bucket=self.bucket,
            Key=key,
            Body=packed(arrivals),
            ContentType="application/gzip",
            ChecksumAlgorithm="SHA256",
        )
        return [Place(key, line) for line in range(len(arrivals))]

    def body(self, place: Place, digest: str) -> bytes:
        """An envelope's exact bytes; raises archiverows.Damaged."""
        return self.line(self.data(place.key), place, digest)

    def data(self, key: str) -> bytes:
        """A whole object, compressed."""
        found: bytes = self.client.get_object(Bucket=self.bucket, Key=key)["Body"].read()
        return found

    @staticmethod
    def line(data: bytes, place: Place, digest: str) -> bytes:
        """Of an object that was read: an envelope's exact bytes; raises archiverows.Damaged."""
        return body_of(data, place.line, digest)


def objects(arrivals: Iterable[Arrival]) -> Mapping[tuple[str, str], list[Arrival]]:
    """What goes together, by thing and day."""
    found: dict[tuple[str, str], list[Arrival]] = {}
    for arrival in arrivals:
        found.setdefault((arrival.thing, day_of(arrival.received_ms)), []).append(arrival)
    return found
