"""The checker's own decoder of codec `compact` (schemas/compact.md): trusting in form, exact in values."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from itertools import accumulate
from typing import Any

from gateway_sim.checker.arrived import (
    Arrived,
    Column,
    DecodeError,
    Raw,
    WindowRow,
    double_bits,
    statistics,
)

Schema = Sequence[Sequence[Any]]
"""Rows [name, unit, kind, decimals, revision]."""
STREAMS = ("live", "backlog", "alarms", "reports")
NAMES = ("mean", "min", "max", "std", "first", "last", "tmean", "sum", "good", "inc", "rate", "resets")
TWO64 = 1 << 64


class SchemaMissing(Exception):
    """The envelope needs a schema that has not come yet."""


def schema(report: Mapping[str, Any]) -> tuple[str, Schema]:
    """A report of type schema; raises DecodeError where its id is another content's."""
    rows = report["series"]
    digest = hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest()[:16]
    if digest != report["id"]:
        raise DecodeError(f"schema {report['id']} holds the rows of {digest}")
    return digest, rows


def decode_compact(body: bytes, schemas: Mapping[str, Schema]) -> Arrived:
    """An envelope; raises DecodeError and SchemaMissing."""
    if body[:3] != b"HG\1" or zlib.crc32(body[:-4]) != struct.unpack(">I", body[-4:])[0]:
        raise DecodeError("not an envelope of codec compact, or damaged")
    try:
        head = _Reader(body[3:-4])
        kind, stream, _ = head.take(3)
        epoch, seq = head.take(8).hex(), head.number()
        if seq == 1 and head.number():
            head.take(8)
            head.number()
        ids = [head.take(8).hex() for _ in range(head.number())]
        if any(key not in schemas for key in ids):
            raise SchemaMissing
        pages = [schemas[key] for key in ids]
        inside = _Reader(zlib.decompress(head.rest(), -15))
        reader = _Reader(inside.take(inside.number()))
        parse = _samples if kind == 0 else _windows
        columns: list[_Column] = []
        found = list(parse(reader, pages, columns))
        _fill(columns, inside)
        samples = [_column(*each) for each in found] if kind == 0 else []
        rows = [] if kind == 0 else [row for each in found for row in _rows(*each)]
        return Arrived(STREAMS[stream], epoch, seq, tuple(samples), tuple(rows))
    except (IndexError, ValueError, zlib.error, struct.error, TypeError, KeyError) as error:
        raise DecodeError(f"not an envelope of codec compact: {error!r}") from error


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def take(self, count: int) -> bytes:
        if self._at + count > len(self._data):
            raise IndexError(f"ends {self._at + count - len(self._data)} B early")
        self._at += count
        return self._data[self._at - count : self._at]

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._at)

    def number(self) -> int:
        total = shift = 0
        while True:
            byte = self.take(1)[0]
            total |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return total

    def signed(self) -> int:
        return _signed(self.number())

    def sums(self, count: int) -> list[int]:
        return list(accumulate(self.signed() for _ in range(count)))


def _signed(number: int) -> int:
    return -((number + 1) // 2) if number % 2 else number // 2


class _Column:
    """A column: its head at first, `values` after `_fill`."""

    def __init__(self, reader: _Reader, length: int) -> None:
        attribute = reader.take(1)[0]
        self.form, self.width, self.flat = attribute & 3, 1 << (attribute >> 4 & 7), attribute & 128
        self.quality: list[int] = []
        if attribute & 8:
            for _ in range(reader.number()):
                count = reader.number()
                self.quality += [reader.take(1)[0]] * count
        self.there = [True] * length
        if attribute & 4:
            bits = reader.take(-(-length // 8))
            self.there = [bool(bits[i // 8] >> i % 8 & 1) for i in range(length)]
        self.count = sum(self.there)
        self.values: list[Any] = []
        self.first = reader.signed() if self.form == 0 and self.count else 0
        if self.form == 2:
            self.values = [reader.take(reader.number()).decode() for _ in range(self.count)]
        self.stored = (max(self.count - 1, 0), self.count, 0)[self.form]

    def spread(self) -> list[Any]:
        found = iter(self.values)
        return [next(found) if there else None for there in self.there]


def _fill(columns: Sequence[_Column], planes: _Reader) -> None:
    bytes_of = {id(column): bytearray(8 * column.stored) for column in columns}
    for at in range(8):
        for column in columns:
            if at < column.width and column.stored:
                bytes_of[id(column)][at::8] = planes.take(column.stored)
    if planes.rest():
        raise ValueError("bytes are left over")
    for column in columns:
        whole = bytes(bytes_of[id(column)])
        if column.form == 1:
            column.values = list(struct.unpack(f"<{column.stored}d", whole))
        elif column.form == 0 and column.count:
            steps = [_signed(number) for number in struct.unpack(f"<{column.stored}Q", whole)]
            if column.flat:
                column.values = [column.first, *(column.first + step for step in steps)]
            else:
                column.values = list(accumulate(steps, initial=column.first))


def _series(reader: _Reader, pages: Sequence[Schema]) -> Iterator[Sequence[Any]]:
    at = -1
    for _ in range(reader.number()):
        page = reader.number()
        at += reader.signed() + 1
        yield pages[page][at]


def _samples(reader: _Reader, pages: Sequence[Schema], columns: list[_Column]) -> Iterator[tuple[Any, ...]]:
    for _ in range(reader.number()):
        times = reader.sums(reader.number())
        for series in _series(reader, pages):
            columns.append(_Column(reader, len(times)))
            yield series, times, columns[-1]


def _column(series: Sequence[Any], times: Sequence[int], column: _Column) -> Column:
    name, unit, kind, decimals, _ = series
    raws: list[Raw] = column.spread()
    if column.form == 1:
        return Column(name, unit, None, times, double_bits(column.spread()), column.quality)
    if column.form == 0:
        low = 0 if kind == "u64" else -(TWO64 // 2)
        raws = [None if raw is None else (int(raw) - low) % TWO64 + low for raw in raws]
    if kind == "bool":
        return Column(name, unit, None, times, raws, column.quality)
    whole = None if kind == "text" else decimals or 0
    return Column(name, unit, whole, times, raws, column.quality)


def _windows(reader: _Reader, pages: Sequence[Schema], columns: list[_Column]) -> Iterator[tuple[Any, ...]]:
    for _ in range(reader.number()):
        starts = reader.sums(reader.number())
        length_ms = reader.number()
        reader.number()
        axis = (starts, length_ms, [reader.number() for _ in range(reader.number())])
        for series in _series(reader, pages):
            digits, mask = reader.number(), reader.number()
            percents = [reader.take(reader.number()) for _ in range(reader.number())]
            names = ["n", *(name for i, name in enumerate(NAMES) if mask >> i & 1)]
            own = [_Column(reader, len(starts)) for _ in (*names, *percents)]
            columns += own
            yield series, axis, digits, names, own


def _rows(
    series: Sequence[Any],
    axis: tuple[Sequence[int], int, Sequence[int]],
    digits: int,
    names: Sequence[str],
    columns: Sequence[_Column],
) -> Iterator[WindowRow]:
    name, unit, _, decimals, _ = series
    lists = {key: [_whole(v) for v in column.spread()] for key, column in zip(names, columns, strict=False)}
    counts = lists.pop("n")
    yield from statistics(name, unit, decimals, digits - 1 if digits else None, axis, counts, lists)


def _whole(value: Any) -> Any:
    """Integers of more than 64 bits travel as their digits."""
    if isinstance(value, str):
        return int(value)
    return (value + TWO64 // 2) % TWO64 - TWO64 // 2 if isinstance(value, int) else value
