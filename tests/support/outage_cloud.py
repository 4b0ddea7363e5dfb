"""The ingest behind its queue on a simulated clock: two handlers racing, repeats, mangled answers."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.exceptions import ClientError

from headgate_cloud.archive import Archive, Place
from headgate_cloud.gateways import Gateways
from headgate_cloud.ingest import Ingest, Record
from headgate_cloud.reports import Reports
from headgate_cloud.tables import Tables
from tests.support.small_dynamodb import SmallDynamoDB, SmallS3

KEYS = {
    "Envelopes": ("stream_key", "seq"),
    "Streams": ("stream_key",),
    "Rejected": ("id",),
    "Gateways": ("thing",),
    "Files": ("thing", "file_id"),
    "Replies": ("thing", "id"),
}
BATCH = 100
SPREAD_MS = 30_000


class _Inline(ThreadPoolExecutor):
    """A pool without threads: the race is made by `_Racing`, and told by the seed."""

    def map(self, fn: Callable[..., Any], *iterables: Iterable[Any], **_: object) -> Iterator[Any]:
        """Do it now."""
        return map(fn, *iterables)


class _Racing:
    """A DynamoDB client between whose calls another handler may get its turn, and that throttles."""

    def __init__(self, client: Any, rng: random.Random, interrupt: Callable[[], None]) -> None:
        self._client, self._rng, self._interrupt = client, rng, interrupt

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)

        def racing(**kwargs: object) -> Any:
            if self._rng.random() < 0.05:
                self._interrupt()
            if self._rng.random() < 0.002:
                raise ClientError({"Error": {"Code": "ThrottlingException", "Message": "slow down"}}, name)
            return call(**kwargs)

        return racing


class OutageCloud:
    """`step` is to be called as time passes. `acks` (due ms, topic, payload) are the caller's to deliver."""

    def __init__(
        self, client: SmallDynamoDB, rng: random.Random, now_ms: Callable[[], int], prefix: str = ""
    ) -> None:
        self.down = False
        self.mangles = True
        self.hears = True
        self.acks: list[tuple[int, int, str, bytes]] = []
        self.said: list[Mapping[str, object]] = []
        self._client, self._rng, self._now_ms = client, rng, now_ms
        self._queue: list[tuple[int, int, Record]] = []
        self._count = 0
        self._other: list[Record] = []
        for name, attributes in KEYS.items():
            client.create_table(TableName=name, KeySchema=[{"AttributeName": a} for a in attributes])
        self._archive = Archive(SmallS3(), "archive")
        self._bodies: dict[str, bytes] = {}
        self._second = self._handler(client)
        self._first = self._handler(_Racing(client, rng, self._interrupt))

    def arrive(self, topic: str, body: bytes) -> None:
        """What the rule does with a message. QoS 1 may bring it twice, as may the queue."""
        thing, _, stream, codec = topic.rpartition("hg/v1/")[2].split("/")
        fields = {
            "body": base64.b64encode(body).decode(),
            "thing": thing,
            "stream": stream,
            "codec": codec,
            "client": thing,
        }
        text = json.dumps({**fields, "received_ms": self._now_ms()})
        for _ in range(2 if self._rng.random() < 0.02 else 1):
            self._count += 1
            self._queue.append((self._now_ms(), self._count, Record(messageId=f"m{self._count}", body=text)))

    def step(self) -> None:
        """Let the handlers work on what is visible."""
        now_ms = self._now_ms()
        while not self.down and (batch := self._take(now_ms)):
            # Some of it goes to the other handler too: a visibility timeout that was too short.
            self._other = [record for record in batch if self._rng.random() < 0.1]
            failed = set(self._first.run(batch))
            self._interrupt()
            again = [record for record in batch if record["messageId"] in failed]
            self._queue += [(now_ms + 5_000, 0, record) for record in again]

    def bodies(self) -> list[bytes]:
        """Every envelope that is stored."""
        return [self._body(row) for row in self.rows("Envelopes")]

    def _body(self, row: dict[str, Any]) -> bytes:
        digest = row["digest"]["S"]
        if digest not in self._bodies:
            place = Place(row["object"]["S"], int(row["line"]["N"]))
            self._bodies[digest] = self._archive.body(place, digest)
        return self._bodies[digest]

    def rows(self, table: str) -> list[dict[str, Any]]:
        """A whole table."""
        return list(self._client.tables[table].values())

    def publish(self, *, topic: str, qos: int, payload: bytes) -> None:
        """As AWS IoT's data plane: QoS 0 to whoever hears it now; mangled as networks do."""
        if not self.hears:
            return
        if not self.mangles:
            self.acks.append((self._now_ms(), 0, topic, payload))
            return
        while self._rng.random() < 0.7:  # lost, once, or several times, in any order
            self._count += 1
            due_ms = self._now_ms() + int(self._rng.random() ** 4 * SPREAD_MS)
            self.acks.append((due_ms, self._count, topic, payload))

    def _take(self, now_ms: int) -> list[Record]:
        visible = [item for item in self._queue if item[0] <= now_ms]
        self._rng.shuffle(visible)  # a standard queue keeps no order
        taken = visible[:BATCH]
        numbers = {id(item) for item in taken}
        self._queue = [item for item in self._queue if id(item) not in numbers]
        return [record for _, _, record in taken]

    def _interrupt(self) -> None:
        records, self._other = self._other, []
        if records:
            self._second.run(records)

    def _handler(self, client: Any) -> Ingest:
        reports = Reports(client, "Files", "Replies", self.said.append)
        tables = Tables(client, "Envelopes", "Streams", "Rejected")
        gateways, pool = Gateways(client, "Gateways"), _Inline(1)
        return Ingest(tables, self._archive, gateways, reports, self, pool, self._now_ms, self.said.append)
