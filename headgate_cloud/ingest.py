"""The ingest handler: queued envelopes to the tables, one acknowledgement per stream touched.

Any number of these run at once on the same streams: storing is conditional, and progress is read back
from the table, so order, repeats and lost acknowledgements do not matter.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final, Protocol, TypedDict, TypeVar

import boto3

from headgate_cloud.decoder import Previous
from headgate_cloud.intake import Arrival, Rejection, acknowledgement, progress, read
from headgate_cloud.reports import Reports
from headgate_cloud.schemas import Schemas
from headgate_cloud.tables import Kept, Tables

# DynamoDB answers in a few ms, so a batch of 100 in eight threads takes about as many tens of them.
THREADS: Final = 8


class Record(TypedDict):
    """The two fields of an SQS event record that are used."""

    messageId: str
    body: str


class IotData(Protocol):
    """The one call of boto3's `iot-data` client that is made."""

    def publish(self, *, topic: str, qos: int, payload: bytes) -> object: ...


@dataclass(slots=True)
class _Touched:
    """One stream in one batch: the messages that depend on it, and what to note in Streams."""

    arrival: Arrival
    messages: list[str] = field(default_factory=list)
    prev: Previous | None = None
    duplicates: int = 0
    schemas: set[str] = field(default_factory=set)


In = TypeVar("In")
Out = TypeVar("Out")


@dataclass(frozen=True, slots=True)
class Ingest:
    """The parts a batch needs; `say` gets one mapping per event worth a log line."""

    tables: Tables
    reports: Reports
    schemas: Schemas
    iot: IotData
    pool: ThreadPoolExecutor
    now_ms: Callable[[], int]
    say: Callable[[Mapping[str, object]], None]

    def run(self, records: Sequence[Record]) -> list[str]:
        """Take a batch; returns the ids of the messages that must come again."""
        counts: Counter[str] = Counter()
        failed: list[str] = []
        touched: dict[str, _Touched] = {}
        for record, taken in zip(records, self._each(self._take, records), strict=True):
            if isinstance(taken, Exception):
                failed.append(record["messageId"])
                self._complain("failed to store", taken, message=record["messageId"])
            elif taken is None:
                counts["rejected"] += 1
            else:
                arrival, kept = taken
                counts[kept.value] += 1
                _note(touched.setdefault(arrival.stream_key, _Touched(arrival)), record, arrival, kept)
        streams = list(touched.values())
        for stream, fault in zip(streams, self._each(self._settle, streams), strict=True):
            if isinstance(fault, Exception):
                failed += stream.messages
                self._complain("failed to acknowledge", fault, stream=stream.arrival.stream_key)
        self.say(
            {
                "event": "batch",
                "records": len(records),
                "streams": len(streams),
                "failed": len(failed),
                **counts,
            }
        )
        return failed

    def _take(self, record: Record) -> tuple[Arrival, Kept] | None:
        """Store one message; None when it was rejected without a readable key."""
        found = read(record["body"], self.now_ms())
        if isinstance(found, Rejection):
            self._reject(found)
            return None
        if found.flaw is not None:
            self._reject(found.rejected(found.flaw))
        kept = self.tables.keep(found)
        if kept is Kept.CONFLICT:
            self._reject(
                found.rejected(f"another content is held under {found.stream_key}/{found.header.seq}")
            )
        else:
            self.reports.take(found)
        return found, kept

    def _reject(self, rejection: Rejection) -> None:
        self.tables.reject(rejection)
        self.say(
            {"event": "rejected", "topic": rejection.topic, "id": rejection.digest, "why": rejection.why}
        )

    def _settle(self, stream: _Touched) -> None:
        """Work out what the table holds, note it, and tell the gateway."""
        key, head = stream.arrival.stream_key, stream.arrival.header
        reached = progress(up_to := self.tables.up_to(key), self.tables.seqs_after(key, up_to))
        in_force = self.tables.advance(
            key, reached.up_to, prev=stream.prev, duplicates=stream.duplicates, now_ms=self.now_ms()
        )
        if in_force > reached.up_to:  # another handler saw more, and so must what is said here
            reached = progress(in_force, self.tables.seqs_after(key, in_force))
        topic = f"hg/v1/{stream.arrival.thing}/dn/ack"
        want = self.schemas.unknown(stream.arrival.thing, stream.schemas)
        payload = acknowledgement(head.stream, head.epoch, reached, want)
        self.iot.publish(topic=topic, qos=0, payload=payload)

    def _each(self, work: Callable[[In], Out], items: Iterable[In]) -> list[Out | Exception]:
        def guarded(item: In) -> Out | Exception:
            try:
                return work(item)
            except Exception as error:  # noqa: BLE001 the boundary: one bad item must not take its batch along
                return error

        return list(self.pool.map(guarded, items))

    def _complain(self, event: str, error: Exception, **where: str) -> None:
        self.say({"event": event, "error": f"{type(error).__name__}: {error}", **where})


def _note(stream: _Touched, record: Record, arrival: Arrival, kept: Kept) -> None:
    stream.messages.append(record["messageId"])
    stream.duplicates += kept is Kept.DUPLICATE
    stream.schemas |= {*arrival.schemas}
    if kept is not Kept.CONFLICT and arrival.header.prev is not None:
        stream.prev = arrival.header.prev


def log(entry: Mapping[str, object]) -> None:
    """One line of JSON, which CloudWatch Logs Insights takes apart by itself."""
    sys.stdout.write(json.dumps(entry, separators=(",", ":")) + "\n")
    sys.stdout.flush()


@functools.cache
def _ingest() -> Ingest:
    """Made once per process, at the first event; boto3 finds its endpoints in the environment by itself."""
    dynamodb = boto3.client("dynamodb")
    tables = Tables(
        client=dynamodb,
        envelopes=os.environ["ENVELOPES_TABLE"],
        streams=os.environ["STREAMS_TABLE"],
        rejected=os.environ["REJECTED_TABLE"],
    )
    schemas = Schemas(dynamodb, os.environ["STREAMS_TABLE"])
    reports = Reports(dynamodb, os.environ["FILES_TABLE"], os.environ["REPLIES_TABLE"], log, schemas)
    pool = ThreadPoolExecutor(THREADS, thread_name_prefix="ingest")
    return Ingest(
        tables, reports, schemas, boto3.client("iot-data"), pool, lambda: time.time_ns() // 1_000_000, log
    )


def handler(event: Mapping[str, Sequence[Record]], context: object) -> dict[str, list[dict[str, str]]]:
    """AWS Lambda's entry: an SQS event in, the items to deliver again out (partial batch response)."""
    failed = _ingest().run(event["Records"])
    return {"batchItemFailures": [{"itemIdentifier": message} for message in failed]}
