"""What ingest stored since the last look: its index in DynamoDB, the envelopes in the archive.

A body must be what its key says.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from gateway_sim.checker.archive import Archive
from gateway_sim.checker.arrived import Arrived, DecodeError, decode
from gateway_sim.checker.compact import Schema, SchemaMissing, decode_compact, schema
from gateway_sim.checker.result import CloudResult, Faults

ENVELOPES, REJECTED = "Envelopes", "Rejected"
KEYS = "stream_key, seq, rejected"


class TablesError(Exception):
    """The tables cannot be read; says which, where and why."""


@dataclass(frozen=True, slots=True)
class Cloud:
    """Where DynamoDB and S3 (the same if empty) answer, the tables' names by their names in docs/wire.md (the
    same if absent), and the archive's bucket."""

    endpoint_url: str
    region: str = "us-east-1"
    tables: Mapping[str, str] = field(default_factory=dict)
    s3_endpoint_url: str = ""
    archive: str = "archive"
    key: str = "simulator"  # access key and secret; a stand-in takes any, the simulated S3 its own


def cloud_of(path: Path) -> Cloud:
    """From the `cloud.json` that the simulated cloud writes; raises TablesError."""
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        key = body["credentials"]["access_key"]
        return Cloud(
            body["aws_endpoint"],
            body["region"],
            dict(body["tables"]),
            body["s3_endpoint"],
            body["archive"],
            key,
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TablesError(f"{path} describes no simulated cloud ({error!r}); is it running?") from error


class IngestTables:
    """Envelopes and Rejected at `cloud`; `thing` limits the envelopes to one gateway's."""

    def __init__(self, cloud: Cloud, *, thing: str | None = None) -> None:
        self._cloud, self._prefix = cloud, f"{thing}/" if thing else ""
        self._db = _client(cloud, "dynamodb", cloud.endpoint_url)
        self._archive = Archive(
            _client(cloud, "s3", cloud.s3_endpoint_url or cloud.endpoint_url), cloud.archive
        )
        self._seen: dict[str, set[int]] = {}
        self._shed: dict[str, set[int]] = {}
        self._unreadable = Faults()
        self._reported_dropped = 0
        self._schemas: dict[str, dict[str, Schema]] = {}
        self._waiting: list[tuple[str, dict[str, Any]]] = []

    def new(self) -> Iterator[Arrived]:
        """Decode every envelope stored since the last call; raises TablesError."""
        fresh: dict[str, list[int]] = {}
        for item in self._pages("scan", TableName=ENVELOPES, ProjectionExpression=KEYS):
            key, seq = item["stream_key"]["S"], int(item["seq"]["N"])
            if "/waits/" in key:  # a note of what came before its schema: no envelope
                continue
            if "rejected" in item:  # a flawed body keeps the key until a sound one takes its place
                continue
            if key.startswith(self._prefix) and seq not in self._seen.get(key, ()):
                fresh.setdefault(key, []).append(seq)
        for key, seqs in fresh.items():
            for item in self._between(key, min(seqs), max(seqs)):
                yield from self._take(key, item)
        waiting, self._waiting = self._waiting, []
        for key, item in waiting:  # what came before its schema
            yield from self._read(key, item)

    def _between(self, key: str, first: int, last: int) -> Iterator[dict[str, Any]]:
        return self._pages(
            "query",
            TableName=ENVELOPES,
            KeyConditionExpression="stream_key = :key AND seq BETWEEN :first AND :last",
            ExpressionAttributeValues={
                ":key": {"S": key},
                ":first": {"N": str(first)},
                ":last": {"N": str(last)},
            },
        )

    def _take(self, key: str, item: dict[str, Any]) -> Iterator[Arrived]:
        seq = int(item["seq"]["N"])
        seen = self._seen.setdefault(key, set())
        if seq in seen or "rejected" in item:
            return
        if "shed" in item:  # the gateway said that it will never come
            self._shed.setdefault(key, set()).add(seq)
            return
        seen.add(seq)
        yield from self._read(key, item)

    def _read(self, key: str, item: dict[str, Any]) -> Iterator[Arrived]:
        seq = int(item["seq"]["N"])
        schemas = self._schemas.setdefault(key.split("/")[0], {})
        codec = item.get("codec", {"S": "json"})["S"]
        try:
            body = self._archive.body(item["object"]["S"], int(item["line"]["N"]))
            arrived = verified(key, seq, body, item["digest"]["S"], codec, schemas)
            if arrived.report and arrived.report.get("type") == "schema":
                schemas.update([schema(arrived.report)])
        except SchemaMissing:
            self._waiting.append((key, item))
            return
        except DecodeError as error:
            self._unreadable.add(f"{key} seq {seq}: {error}")
            return
        except (BotoCoreError, ClientError) as error:
            raise TablesError(f"cannot read bucket {self._cloud.archive}: {error}") from error
        if arrived.report and arrived.report.get("type") == "dropped":
            self._reported_dropped += int(arrived.report.get("count") or 0)
        yield replace(arrived, received_ms=int(item["received_ms"]["N"]))

    def summary(self) -> CloudResult:
        """What the tables say for themselves, as of the last `new`."""
        gaps = Faults()
        for key, arrived in sorted(self._seen.items()):
            seqs = arrived | self._shed.get(key, set())
            if not seqs:
                continue
            if absent := max(seqs) - len(seqs):
                first = next(seq for seq in range(1, max(seqs)) if seq not in seqs)
                gaps.add(f"{key}: {absent} below seq {max(seqs)} are not there, first {first}", absent)
        for key, item in self._waiting:
            self._unreadable.add(f"{key} seq {item['seq']['N']}: its schema never came")
        self._waiting = []
        rejected = Faults()
        for item in self._pages("scan", TableName=REJECTED, ProjectionExpression="topic, why"):
            rejected.add(f"{item['topic']['S']}: {item['why']['S']}")
        return CloudResult(
            sum(map(len, self._seen.values())),
            self._unreadable.count,
            gaps.count,
            rejected.count,
            self._reported_dropped,
            {
                "unreadable": tuple(self._unreadable.examples),
                "gaps": tuple(gaps.examples),
                "rejected": tuple(rejected.examples),
            },
        )

    def _pages(self, operation: str, **request: Any) -> Iterator[dict[str, Any]]:
        name = self._cloud.tables.get(request["TableName"], request["TableName"])
        request["TableName"] = name
        try:
            for page in self._db.get_paginator(operation).paginate(ConsistentRead=True, **request):
                yield from page["Items"]
        except (BotoCoreError, ClientError) as error:
            where = f"table {name} at {self._cloud.endpoint_url}"
            raise TablesError(f"cannot read {where}: {error}; is the simulated cloud running?") from error


def _client(cloud: Cloud, service: str, endpoint_url: str) -> Any:
    """boto3's, untyped; a key of its own keeps it from looking for the user's."""
    return boto3.client(
        service,
        endpoint_url=endpoint_url,
        region_name=cloud.region,
        aws_access_key_id=cloud.key,
        aws_secret_access_key=cloud.key,
        config=Config(
            retries={"max_attempts": 2},
            connect_timeout=5,
            read_timeout=30,
            s3={"addressing_style": "path"},
        ),
    )


def verified(
    key: str,
    seq: int,
    body: bytes,
    digest: str,
    codec: str = "json",
    schemas: Mapping[str, Schema] | None = None,
) -> Arrived:
    """Decode a stored body; raises DecodeError when digest or header disagree with its row.

    Of codec `compact` SchemaMissing where `schemas` lacks one.
    """
    if hashlib.sha256(body).hexdigest() != digest:
        raise DecodeError("the digest is not the body's SHA-256")
    arrived = decode_compact(body, schemas or {}) if codec == "compact" else decode(body)
    header = f"{arrived.stream}/{arrived.epoch}"
    if not key.endswith(f"/{header}") or arrived.seq != seq:
        raise DecodeError(f"stored under this key, but its header says {header} seq {arrived.seq}")
    return arrived
