"""The ingest handler: queued envelopes to the archive and its index, one acknowledgement per gateway touched.

Any number of these run at once on the same streams: an object means nothing until the index names it, the
index is written conditionally, and progress is read back from it, so order, repeats, crashes and lost
acknowledgements do not matter.
"""

from __future__ import annotations

import contextlib
import functools
import json
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Final, Protocol, TypedDict, TypeVar

import boto3

from headgate_cloud.archive import Archive, Place, objects
from headgate_cloud.batch import Entry, Group, Touched, grouped, touched
from headgate_cloud.fetchrules import rules
from headgate_cloud.fetchtable import FetchTable
from headgate_cloud.forks import Forks, Seen
from headgate_cloud.gateways import Gateways
from headgate_cloud.health import HealthTable
from headgate_cloud.intake import Ack, Arrival, Progress, Rejection, acknowledgement, payloads, progress, read
from headgate_cloud.metrics import metered
from headgate_cloud.reports import Reports
from headgate_cloud.schemas import Schemas
from headgate_cloud.shed import take_tombstone
from headgate_cloud.strict import Undecodable
from headgate_cloud.tables import Kept, Known, Tables
from headgate_cloud.waiting import Waiting

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
class _Batch:
    """What a batch comes to; every message that has `failed` comes again."""

    counts: Counter[str] = field(default_factory=Counter)
    failed: list[str] = field(default_factory=list)
    outcomes: list[tuple[Entry, Kept]] = field(default_factory=list)
    lag_ms: int = 0


In = TypeVar("In")
Out = TypeVar("Out")


@dataclass(frozen=True, slots=True)
class Ingest:
    """The parts a batch needs; `say` gets one mapping per event worth a log line."""

    tables: Tables
    archive: Archive
    gateways: Gateways
    reports: Reports
    iot: IotData
    pool: ThreadPoolExecutor
    now_ms: Callable[[], int]
    say: Callable[[Mapping[str, object]], None]
    schemas: Schemas | None = None
    acks_together: bool = True

    @property
    def _waiting(self) -> Waiting | None:
        return None if self.schemas is None else Waiting(self.tables, self.archive, self.schemas)

    def run(self, records: Sequence[Record]) -> list[str]:
        """Take a batch; returns the ids of the messages that must come again."""
        batch = _Batch()
        groups = grouped(self._expanded(batch, self._read(batch, records)))
        streams: list[Touched] = []
        if groups:
            known = self._known(batch, groups)
            if known is not None:
                self._store(batch, groups, known)
                streams = touched(batch.outcomes, known.up_to)
        self._settled(batch, streams)
        self._say_batch(batch, len(records), len(streams))
        return batch.failed

    def _read(self, batch: _Batch, records: Sequence[Record]) -> list[Entry]:
        """The messages whose key could be read; the others are rejected, or fail."""
        entries: list[Entry] = []
        now_ms = self.now_ms()
        for record, found in zip(records, self._each(self._reading, records), strict=True):
            if isinstance(found, Exception):
                self._fail(batch, [record["messageId"]], found, message=record["messageId"])
            elif isinstance(found, Rejection):
                batch.counts["rejected"] += 1
                batch.counts[found.code] += 1
            else:
                entries.append(Entry(record["messageId"], found))
                batch.counts["undecodable"] += found.flaw is not None
                batch.lag_ms = max(batch.lag_ms, now_ms - found.received_ms)
        return entries

    def _reading(self, record: Record) -> Arrival | Rejection:
        found = read(record["body"], self.now_ms())
        if isinstance(found, Rejection):
            self._reject(found)
        elif found.flaw is not None:
            self._reject(found.rejected(found.flaw))
        return found

    def _expanded(self, batch: _Batch, entries: Sequence[Entry]) -> list[Entry]:
        """Those of codec compact decoded where their schemas are known, or come in this batch."""
        waiting = self._waiting
        if waiting is None:
            return [*entries]

        def learn(entry: Entry) -> Entry:
            self._learn(entry.arrival)
            return entry

        def decode(entry: Entry) -> Entry:
            found = waiting.expanded(entry.arrival)
            if found.flaw is not None and entry.arrival.flaw is None:
                self._reject(found.rejected(found.flaw))
                batch.counts["undecodable"] += 1
            return replace(entry, arrival=found)

        for work in (learn, decode):
            done = self._each(work, entries)
            for entry, fault in zip(entries, done, strict=True):
                if isinstance(fault, Exception):
                    self._fail(batch, [entry.message], fault, message=entry.message)
            entries = [entry for entry in done if isinstance(entry, Entry)]
        return [*entries]

    def _learn(self, arrival: Arrival) -> None:
        """A schema is its content, so it may be known before the report that tells it is stored."""
        report = None if arrival.envelope is None else arrival.envelope.report
        if self.schemas is None or report is None or report["type"] != "schema":
            return
        with contextlib.suppress(Undecodable):  # said once it is stored
            self.schemas.keep(arrival.thing, report)

    def _known(self, batch: _Batch, groups: Sequence[Group]) -> Known | None:
        """None where that could not be read: then all of the batch comes again."""
        try:
            return self.tables.known(group.chosen for group in groups)
        except Exception as error:  # noqa: BLE001 the boundary: what was rejected above is done with
            self._fail(batch, [e.message for group in groups for e in group.entries], error)
            return None

    def _store(self, batch: _Batch, groups: Sequence[Group], known: Known) -> None:
        """Objects, then the index, then what hangs on it; a message fails with its own part of that alone."""
        wanted = {}
        for group in groups:
            if group.wants(known.held.get((group.chosen.stream_key, group.chosen.header.seq))):
                wanted[id(group.chosen)] = group
        places = self._archived(batch, wanted)

        def indexed(group: Group) -> list[tuple[Entry, Kept]]:
            chosen = group.chosen
            if id(chosen) not in wanted:
                in_force = known.held[chosen.stream_key, chosen.header.seq].digest
                return self._handled(group, in_force, stored=False)
            waiting = self._waiting if chosen.waits else None
            if waiting is not None:
                waiting.note(chosen, places[id(chosen)])
            kept, in_force = self.tables.keep(chosen, places[id(chosen)])
            if waiting is not None:
                waiting.look_again(chosen)
            held = known.held.get((chosen.stream_key, chosen.header.seq))
            is_new = kept is Kept.NEW and not (held is not None and held.waits)
            return self._handled(group, in_force, stored=is_new)

        stored = [g for g in groups if id(g.chosen) not in wanted or id(g.chosen) in places]
        for group, done in zip(stored, self._each(indexed, stored), strict=True):
            if isinstance(done, Exception):
                messages = [entry.message for entry in group.entries]
                self._fail(batch, messages, done, message=messages[0])
            else:
                batch.outcomes += done
                batch.counts.update(kept.value for _, kept in done)

    def _archived(self, batch: _Batch, wanted: Mapping[int, Group]) -> dict[int, Place]:
        """One object for each gateway and day; where its envelopes are, by the arrival's id()."""
        parts = list(objects(group.chosen for group in wanted.values()).values())
        places: dict[int, Place] = {}
        for arrivals, put in zip(parts, self._each(self.archive.put, parts), strict=True):
            if isinstance(put, Exception):
                messages = [e.message for arrival in arrivals for e in wanted[id(arrival)].entries]
                self._fail(batch, messages, put, thing=arrivals[0].thing)
            else:
                batch.counts["objects"] += 1
                places |= zip(map(id, arrivals), put, strict=True)
        return places

    def _handled(self, group: Group, in_force: str, *, stored: bool) -> list[tuple[Entry, Kept]]:
        outcomes = list(group.outcomes(in_force, stored=stored))
        for entry, kept in outcomes:
            arrival = entry.arrival
            if kept is not Kept.CONFLICT:
                self.reports.take(arrival)
                self._schema_told(arrival)
                take_tombstone(self.tables, arrival, self.say)
            elif arrival.flaw is None:  # a flawed one is in Rejected for its flaw
                why = f"another content is held under {arrival.stream_key}/{arrival.header.seq}"
                self._reject(arrival.rejected(why, "conflict"))
        return outcomes

    def _schema_told(self, arrival: Arrival) -> None:
        """With every repeat of the report too: nothing is done twice."""
        waiting, report = self._waiting, None if arrival.envelope is None else arrival.envelope.report
        if waiting is None or report is None or report["type"] != "schema":
            return
        for flawed in waiting.told(arrival.thing, str(report.get("id"))):
            self._reject(flawed.rejected(str(flawed.flaw)))

    def _settled(self, batch: _Batch, streams: Sequence[Touched]) -> None:
        acks: dict[str, list[tuple[Touched, Ack]]] = {}
        for stream, settled in zip(streams, self._each(self._settle, streams), strict=True):
            if isinstance(settled, Exception):
                self._unacknowledged(batch, [stream], settled)
                continue
            reached, ack = settled
            acks.setdefault(stream.arrival.thing, []).append((stream, ack))
            if reached.missing:
                self._say_gap(stream.arrival, reached)
        for found, fault in zip(acks.values(), self._each(self._tell, acks.items()), strict=True):
            if isinstance(fault, Exception):
                self._unacknowledged(batch, [stream for stream, _ in found], fault)
        things = dict.fromkeys(stream.arrival.thing for stream in streams)
        latest = dict.fromkeys(things, 0)
        for entry, _ in batch.outcomes:
            latest[entry.arrival.thing] = max(latest[entry.arrival.thing], entry.arrival.received_ms)

        def seen(thing: str) -> None:
            self.gateways.seen(thing, latest[thing])

        for thing, fault in zip(things, self._each(seen, list(things)), strict=True):
            if isinstance(fault, Exception):  # the next batch says it again
                self._complain("failed to note", fault, thing=thing)

    def _unacknowledged(self, batch: _Batch, streams: Sequence[Touched], error: Exception) -> None:
        for stream in streams:
            key = stream.arrival.stream_key
            self._fail(batch, stream.messages, error, "failed to acknowledge", stream=key)

    def _tell(self, told: tuple[str, Sequence[tuple[Touched, Ack]]]) -> None:
        """All that one gateway is told of a batch, in one message where that fits."""
        thing, acks = told
        for payload in payloads([ack for _, ack in acks], together=self.acks_together):
            self.iot.publish(topic=f"hg/v1/{thing}/dn/ack", qos=0, payload=payload)

    def _settle(self, stream: Touched) -> tuple[Progress, Ack]:
        """Work out what the index holds, note it, and what the gateway is to be told."""
        key, head = stream.arrival.stream_key, stream.arrival.header
        reached = progress(stream.up_to, self.tables.seqs_after(key, stream.up_to))
        in_force = self.tables.advance(
            key, reached.up_to, prev=stream.prev, duplicates=stream.duplicates, now_ms=self.now_ms()
        )
        if in_force > reached.up_to:  # another handler saw more, and so must what is said here
            reached = progress(in_force, self.tables.seqs_after(key, in_force))
        forked = self._forked(stream)
        want = self.schemas.unknown(stream.arrival.thing, stream.schemas) if self.schemas else []
        return reached, acknowledgement(head.stream, head.epoch, reached, want=want, forked=forked)

    def _forked(self, stream: Touched) -> str:
        """Why this epoch goes on from an older copy of the gateway's state; empty where it does not."""
        head, thing = stream.arrival.header, stream.arrival.thing
        forks = Forks(self.tables.client, self.tables.streams, self.say, self.now_ms)
        seen = Seen(thing, head.stream, head.epoch, stream.newest, stream.prev, stream.conflict)
        return forks.note(seen)

    def _reject(self, rejection: Rejection) -> None:
        self.tables.reject(rejection)
        self.say(
            {
                "event": "rejected",
                "topic": rejection.topic,
                "id": rejection.digest,
                "code": rejection.code,
                "why": rejection.why,
            }
        )

    def _each(self, work: Callable[[In], Out], items: Iterable[In]) -> list[Out | Exception]:
        def guarded(item: In) -> Out | Exception:
            try:
                return work(item)
            except Exception as error:  # noqa: BLE001 the boundary: one bad item must not take its batch along
                return error

        return list(self.pool.map(guarded, items))

    def _fail(
        self,
        batch: _Batch,
        messages: Sequence[str],
        error: Exception,
        event: str = "failed to store",
        **where: str,
    ) -> None:
        batch.failed += messages
        self._complain(event, error, **where)

    def _complain(self, event: str, error: Exception, **where: str) -> None:
        self.say({"event": event, "error": f"{type(error).__name__}: {error}", **where})

    def _say_gap(self, arrival: Arrival, reached: Progress) -> None:
        """One that a re-sent envelope has not filled yet is a gap as well: what lasts is what counts."""
        head = arrival.header
        entry = {"event": "gap", "thing": arrival.thing, "Stream": head.stream, "epoch": head.epoch}
        values = {"Gaps": ("Count", reached.gaps), "MissingEnvelopes": ("Count", reached.missing)}
        self.say(metered({**entry, "up_to": reached.up_to}, values, self.now_ms(), dimensions=("Stream",)))

    def _say_batch(self, batch: _Batch, records: int, streams: int) -> None:
        counts = batch.counts
        entry = {"event": "batch", "records": records, "streams": streams, "failed": len(batch.failed)}
        values: dict[str, tuple[str, int | float]] = {
            "Envelopes": ("Count", counts["new"]),
            "Duplicates": ("Count", counts["duplicate"]),
            "Conflicts": ("Count", counts["conflict"]),
            "Undecodable": ("Count", counts["undecodable"]),
            "ForeignSenders": ("Count", counts["sender"]),
            "IngestLag": ("Milliseconds", max(0, batch.lag_ms)),
        }
        self.say(metered({**entry, **{k: n for k, n in counts.items() if n}}, values, self.now_ms()))


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
    reports = Reports(
        dynamodb,
        os.environ["FILES_TABLE"],
        os.environ["REPLIES_TABLE"],
        log,
        FetchTable(dynamodb, os.environ["FETCHES_TABLE"]),
        rules(os.environ["FETCH_RULES"]),
        HealthTable(dynamodb, os.environ["GATEWAYS_TABLE"]),
        schemas,
    )
    return Ingest(
        tables,
        Archive(boto3.client("s3"), os.environ["ARCHIVE_BUCKET"]),
        Gateways(dynamodb, os.environ["GATEWAYS_TABLE"]),
        reports,
        boto3.client("iot-data"),
        ThreadPoolExecutor(THREADS, thread_name_prefix="ingest"),
        lambda: time.time_ns() // 1_000_000,
        log,
        schemas,
        os.environ.get("ACKS_TOGETHER", "true") == "true",
    )


def handler(event: Mapping[str, Sequence[Record]], context: object) -> dict[str, list[dict[str, str]]]:
    """AWS Lambda's entry: an SQS event in, the items to deliver again out (partial batch response)."""
    failed = _ingest().run(event["Records"])
    return {"batchItemFailures": [{"itemIdentifier": message} for message in failed]}
