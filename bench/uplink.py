"""Envelopes: what 100 tags cost to send, in AWS IoT Core's metering units, beside the peers' JSON.

A: 60 windows of a minute with mean, min, max and count; B: 60 raw samples. Names have 24 characters; the data
is that of the store's benchmark (bench/_samples.py), random walks or, `_noisy`, 16-bit noise. A unit is 5 KB
of payload and topic. `sitewise` and `thingsboard` are the same data in their documented formats, as few
messages as their own limits allow. A schema of codec compact travels once: that takes `schema_units`.
"""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import islice
from typing import TypeVar

import numpy as np

from bench._peer_json import sitewise, thingsboard
from bench._samples import Site
from bench.form import Figure, Scenario, at_most, run
from headgate.columns import Columns
from headgate.envelope import compact, header, samples, windows
from headgate.envelope.header import Part
from headgate.envelope.schemas import SchemaBook
from headgate.model import ClockState, EnvelopeId, Window, WindowRow
from headgate_cloud import compact as cloud_compact
from headgate_cloud import decoder

THING = "gateway-0001"
TAGS, ROWS, WINDOW_S = 100, 60, 60
STATISTICS = frozenset({"mean", "min", "max"})
"""Beside the count, which is always there."""
UNIT_BYTES = 5_120
KIND = {"walk": "", "noise": "_noisy"}
REPEATS = 5
_T = TypeVar("_T")
GOALS = {"A_json": 12, "A_compact": 4, "B_json": 5, "B_compact": 1}


def main(argv: Sequence[str]) -> int:
    """`./dev bench uplink [--json] [SCENARIO ...]`."""
    scenarios = []
    for kind, suffix in KIND.items():
        for load in ("A", "B"):
            for codec in ("json", "compact"):
                goal = GOALS.get(f"{load}_{codec}{suffix}")
                goals = {} if goal is None else {"metering_units": at_most(goal)}
                name = f"{load}_{codec}{suffix}"
                scenarios.append(Scenario(name, partial(_measured, load, codec, kind), goals))
            scenarios += [
                Scenario(f"{load}_{peer}{suffix}", partial(_peer, load, peer, kind))
                for peer in ("thingsboard", "sitewise")
            ]
    return run("uplink", argv, scenarios)


@dataclass(frozen=True, slots=True)
class Data:
    """One hour of windows (`A`), and its first minute raw (`B`)."""

    raw: Columns
    closed: Sequence[Window]


@cache
def _data(kind: str) -> Data:
    site = Site("walk" if kind == "walk" else "noise", devices=1, tags=TAGS)
    table = tuple(
        replace(series, name=f"device-00/temperature{i:03d}") for i, series in enumerate(site.table())
    )
    assert {len(series.name) for series in table} == {24}
    reads = list(islice(site.reads(0), ROWS * WINDOW_S))
    first = reads[:ROWS]
    raw = Columns(
        table,
        [t for t, _ in first],
        [list(column) for column in zip(*(row for _, row in first), strict=True)],
        [None] * TAGS,
    )
    start_ms = reads[0][0] // 60_000 * 60_000
    closed = []
    for at in range(0, len(reads), WINDOW_S):
        rows = [row for _, row in reads[at : at + WINDOW_S]]
        columns = zip(*rows, strict=True)
        statistics = {series: _row(column) for series, column in zip(table, columns, strict=True)}
        closed.append(Window(start_ms + at * 1_000, 1_000 * WINDOW_S, ClockState.SYNCED, statistics))
    return Data(raw, closed)


def _row(column: Sequence[float]) -> WindowRow:
    mean = math.fsum(column) / len(column)
    std = float(np.std(column))
    return WindowRow(len(column), min(column), max(column), mean, std, column[0], column[-1])


def _measured(load: str, codec: str, kind: str) -> Mapping[str, Figure]:
    data = _data(kind)
    values = TAGS * ROWS * (len(STATISTICS) + 1 if load == "A" else 1)
    book = SchemaBook({})
    keys = book.add(data.raw.series, header.room_bytes(THING), 0)
    pack = partial(_packed, load, codec, data, book)
    bodies, encode_ns = _timed(pack)
    schema = header.COMPACT if codec == "compact" else header.COLUMNS
    topic = header.topic(THING, "live", schema)
    told = [header.seal(book.report(key, ClockState.SYNCED), _key(1), None) for key in keys]
    pages = dict(cloud_compact.schema(_report(body)) for body in told)
    read = _read_compact if codec == "compact" else _read_json
    count, decode_ns = _timed(partial(read, bodies, pages))
    assert count == (TAGS * ROWS), f"{count} of {TAGS * ROWS} came back"
    found = _figures(bodies, topic)
    if codec == "compact":
        found["schema_units"] = _units(told, header.topic(THING, "reports"))
    return found | {
        "encode_ns_per_value": round(encode_ns / values, 1),
        "decode_ns_per_value": round(decode_ns / values, 1),
    }


def _packed(load: str, codec: str, data: Data, book: SchemaBook) -> list[bytes]:
    """Sealed envelopes, as the hub makes them."""
    parts: list[Part]
    if codec == "json":
        room = header.room_bytes(THING)
        if load == "A":
            parts = windows.pack_windows(data.closed, room, statistics=STATISTICS)
        else:
            parts = samples.pack_samples([data.raw], ClockState.SYNCED, room)
    else:
        room = header.room_bytes(THING, header.COMPACT)
        if load == "A":
            parts = compact.pack_windows(data.closed, room, book, statistics=STATISTICS)
        else:
            parts = compact.pack_samples([data.raw], ClockState.SYNCED, room, book)
    return [header.seal(part, _key(2 + i), None) for i, part in enumerate(parts)]


def _key(seq: int) -> EnvelopeId:
    return EnvelopeId(THING, "live", 0x8C0F_3A5B_77D0_1E42, seq)


def _report(body: bytes) -> Mapping[str, object]:
    report = decoder.decode(body).report
    assert report is not None
    return report


def _read_json(bodies: Sequence[bytes], pages: object) -> int:
    return sum(_count(decoder.decode(body)) for body in bodies)


def _read_compact(bodies: Sequence[bytes], pages: Mapping[str, cloud_compact.Schema]) -> int:
    return sum(_count(cloud_compact.decode(body, pages)) for body in bodies)


def _count(envelope: decoder.Envelope) -> int:
    """Samples, or rows of windows."""
    return len(envelope.windows) + sum(len(column.raw) for column in envelope.columns)


def _peer(load: str, peer: str, kind: str) -> Mapping[str, Figure]:
    data = _data(kind)
    write = thingsboard if peer == "thingsboard" else sitewise
    messages = write(data.closed if load == "A" else data.raw)
    topic = "v1/gateway/telemetry" if peer == "thingsboard" else ""
    return _figures(messages, topic)


def _figures(messages: Sequence[bytes], topic: str) -> dict[str, Figure]:
    return {
        "metering_units": _units(messages, topic),
        "bytes": sum(len(message) + len(topic) for message in messages),
        "messages": len(messages),
    }


def _units(messages: Sequence[bytes], topic: str) -> int:
    return sum(math.ceil((len(message) + len(topic)) / UNIT_BYTES) for message in messages)


def _timed(work: Callable[[], _T]) -> tuple[_T, float]:
    """What it returns, and the least CPU time of some runs."""
    least = math.inf
    gc.collect()
    for _ in range(REPEATS):
        before = time.process_time_ns()
        found = work()
        least = min(least, time.process_time_ns() - before)
    return found, least
