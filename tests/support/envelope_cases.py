"""Columns and windows of every kind, for tests of both codecs: packed by the gateway, read by the cloud."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from headgate.columns import Columns
from headgate.envelope import compact, header, samples, windows
from headgate.envelope.header import Part
from headgate.envelope.schemas import SchemaBook
from headgate.model import ClockState, EnvelopeId, Series, Window
from headgate_cloud import compact as cloud_compact
from headgate_cloud import decoder
from headgate_cloud.compact import Schema
from tests.support import envelope_reader as reader

THING = "t" * 128
KEY = EnvelopeId(THING, "backlog", 0xFFFF_FFFF_FFFF_FFFF, 2)
Told = dict[str, Schema]


def compact_samples(groups: Sequence[Columns], clock: ClockState) -> tuple[list[bytes], Told]:
    """Sealed envelopes, and the schemas as the cloud was told them."""
    book = SchemaBook({})
    told = tell(book, (series for group in groups for series in group.series))
    room_bytes = header.room_bytes(THING, header.COMPACT)
    return sealed(compact.pack_samples(groups, clock, room_bytes, book)), told


def compact_windows(closed: Sequence[Window], *, rounded: bool) -> tuple[list[bytes], Told]:
    """The same of windows."""
    book = SchemaBook({})
    told = tell(book, (series for window in closed for series in window.rows))
    room_bytes = header.room_bytes(THING, header.COMPACT)
    return sealed(compact.pack_windows(closed, room_bytes, book, rounded=rounded)), told


def json_samples(groups: Sequence[Columns], clock: ClockState) -> list[bytes]:
    """Sealed envelopes of codec json."""
    return sealed(samples.pack_samples(groups, clock, header.room_bytes(THING)))


def json_windows(closed: Sequence[Window], *, rounded: bool) -> list[bytes]:
    """The same of windows."""
    return sealed(windows.pack_windows(closed, header.room_bytes(THING), rounded=rounded))


def tell(book: SchemaBook, table: Iterable[Series]) -> Told:
    """Make the schemas, and read their reports as the cloud does."""
    told: Told = {}
    for key in book.add(table, header.room_bytes(THING), 0):
        body = header.seal(book.report(key, ClockState.SYNCED), KEY, None)
        fits(body, header.SCHEMA)
        report = decoder.decode(body).report
        assert report is not None
        told.update([cloud_compact.schema(report)])
    return told


def sealed(parts: Sequence[Part]) -> list[bytes]:
    """As they would be sent in the stream with the longest name."""
    bodies = [header.seal(part, KEY, None) for part in parts]
    for part, body in zip(parts, bodies, strict=True):
        fits(body, part.schema)
    return bodies


def fits(body: bytes, schema: int) -> None:
    """One metering unit with its topic."""
    size = len(body) + len(header.topic(THING, "backlog", schema))
    assert size <= header.LIMIT_BYTES, f"{size} B"


def read_columns(columns: Iterable[decoder.Column]) -> Counter[reader.ReadSample]:
    """What the cloud reads of samples, in the words of the tests."""
    return Counter(
        reader.ReadSample(
            column.series,
            column.unit,
            column.kind,
            column.revision,
            sample.t_ms,
            reader.comparable(sample.value),  # type: ignore[arg-type]  # no Decimals: integers have no scale
            sample.quality,
        )
        for column in columns
        for sample in column.samples()
    )
