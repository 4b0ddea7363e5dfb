"""Tombstones (docs/wire.md, "What was shed"): what will never come is marked, and its stream goes on."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from botocore.exceptions import ClientError

from headgate_cloud import decoder
from headgate_cloud.forms import STREAMS
from headgate_cloud.intake import Arrival, progress
from headgate_cloud.strict import Undecodable, choice, integer, string
from headgate_cloud.tables import Tables

MAX_SEQS: Final = 1_000
"""Of one tombstone; a gateway writes them for 64 envelopes at most."""
_EPOCH: Final = re.compile(r"[0-9a-f]{16}")
_SEQ: Final = (1, 2**53)


def take_tombstone(tables: Tables, arrival: Arrival, say: Callable[[Mapping[str, object]], None]) -> None:
    """Act on a stored envelope if it is a tombstone; `say` hears of one that is malformed."""
    if arrival.header.kind != "report" or arrival.flaw is not None or b'"shed"' not in arrival.body:
        return
    report = decoder.decode(arrival.body).report
    if report is None or report["type"] != "shed":
        return
    try:
        mark_shed(tables, arrival, report)
    except Undecodable as error:
        key = f"{arrival.stream_key}/{arrival.header.seq}"
        say({"event": "malformed report", "envelope": key, "why": str(error)})


def mark_shed(tables: Tables, arrival: Arrival, report: Mapping[str, object]) -> None:
    """Mark each seq that is not stored, and let the stream's `up_to` go on over them.

    Idempotent, also where it was cut. Raises Undecodable, and botocore's errors as they come.
    """
    stream = choice(report.get("stream"), "$.report.stream", STREAMS)
    epoch = string(report.get("epoch"), "$.report.epoch", _EPOCH)
    first = integer(report.get("first"), "$.report.first", _SEQ)
    last = integer(report.get("last"), "$.report.last", (first, first + MAX_SEQS - 1))
    key = f"{arrival.thing}/{stream}/{epoch}"
    for seq in range(first, last + 1):
        _mark(tables, key, seq, arrival)
    stored = tables.client.get_item(
        TableName=tables.streams, Key={"stream_key": {"S": key}}, ConsistentRead=True
    )
    up_to = int(stored.get("Item", {}).get("up_to", {"N": "0"})["N"])
    reached = progress(up_to, tables.seqs_after(key, up_to))
    tables.advance(key, reached.up_to, prev=None, duplicates=0, now_ms=arrival.received_ms)


def _mark(tables: Tables, key: str, seq: int, arrival: Arrival) -> None:
    """Never over an envelope; one that comes after all takes the mark's place (`Tables.keep`)."""
    try:
        tables.client.put_item(
            TableName=tables.envelopes,
            Item={
                "stream_key": {"S": key},
                "seq": {"N": str(seq)},
                "digest": {"S": ""},
                "shed": {"S": f"{arrival.stream_key}/{arrival.header.seq}"},
                "received_ms": {"N": str(arrival.received_ms)},
            },
            ConditionExpression="attribute_not_exists(seq)",
        )
    except ClientError as error:
        if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
            raise
