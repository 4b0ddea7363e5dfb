"""The cloud's own decoder of the envelope codec `compact` (schemas/compact.md): binary, under a schema."""

from __future__ import annotations

import hashlib
import json
import re
import struct
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from headgate_cloud.forms import (
    CLOCKS,
    KINDS,
    MAX_QUALITY,
    MAX_WINDOWS,
    STREAMS,
    Column,
    Envelope,
    Header,
    Previous,
    Raw,
    SchemaRow,
    WindowRow,
)
from headgate_cloud.json_columns import SERIES, decimals_of
from headgate_cloud.strict import I64, U64, Undecodable, array, choice, integer, string
from headgate_cloud.window_lists import ASKED, MAX_DIGITS, STATISTICS, Lists, Number, axis_of, rows_of

MAX_BODY_BYTES: Final = 4 << 20
"""Of an inflated body: far more than what fits into an envelope, far less than a bomb."""
_KINDS: Final = ("samples", "windows")
_NAMES: Final = (*STATISTICS, "tmean", *ASKED)
_WIDTHS: Final = (1, 2, 4, 8)
_PERCENT: Final = re.compile(r"\d{1,3}(\.\d{1,6})?")
_ID: Final = re.compile(r"[0-9a-f]{16}")
_FIXED_BYTES: Final = 14  # up to the epoch's end

Schema = tuple[SchemaRow, ...]


class UnknownSchema(Exception):
    """The envelope is sound, but needs schemas that are not there; `ids` (hex) is which."""

    def __init__(self, ids: Sequence[str]) -> None:
        super().__init__(f"schemas {', '.join(ids)} are not known")
        self.ids = tuple(ids)


def header(body: bytes) -> tuple[Header, tuple[str, ...]]:
    """What is readable without a schema: the header and the ids of the schemas. Raises Undecodable."""
    head, ids, _ = _opened(body)
    return head, ids


def decode(body: bytes, schemas: Mapping[str, Schema]) -> Envelope:
    """Everything, checked whole. Raises Undecodable, and UnknownSchema where `schemas` lacks one."""
    head, ids, rest = _opened(body)
    absent = [key for key in ids if key not in schemas]
    if absent:
        raise UnknownSchema(absent)
    pages = [schemas[key] for key in ids]
    inflated = _inflated(rest)
    try:
        whole = _Bytes(inflated, "$.body")
        heads, planes = whole.take(whole.varint()), whole.rest()
        reader = _Bytes(heads, "$.body")
        waiting = _samples(reader, pages) if head.kind == "samples" else _windows(reader, pages)
        reader.end()
        _fill(waiting.parsed, planes)
        return waiting.finish(head)
    except (OverflowError, UnicodeDecodeError) as error:
        raise Undecodable("$.body", str(error)) from None


def schema(found: Mapping[str, object]) -> tuple[str, Schema]:
    """The id and the rows of a report of type schema, its id checked. Raises Undecodable."""
    key = string(found.get("id"), "$.report.id", _ID)
    rows = array(found.get("series"), "$.report.series")
    digest = hashlib.sha256(json.dumps(rows, separators=(",", ":")).encode()).hexdigest()[:16]
    if digest != key:
        raise Undecodable("$.report.id", f"is {key}, the rows' is {digest}")
    return key, tuple(_schema_row(row, f"$.report.series[{i}]") for i, row in enumerate(rows))


def _schema_row(row: object, path: str) -> SchemaRow:
    found = array(row, path)
    if len(found) != 5:
        raise Undecodable(path, "a row is [name, unit, kind, decimals, revision]")
    return SchemaRow(
        string(found[0], path, SERIES),
        string(found[1], path),
        choice(found[2], path, KINDS),
        decimals_of(found[3], path),
        integer(found[4], path, (0, I64[1])),
    )


class _Bytes:
    """Reads from left to right; what is not there, or too long, is Undecodable."""

    def __init__(self, data: bytes, path: str) -> None:
        self._data = data
        self._at = 0
        self._path = path

    def take(self, count: int) -> bytes:
        end = self._at + count
        if end > len(self._data):
            raise Undecodable(self._path, f"ends at {len(self._data)} B, {end} are wanted")
        found = self._data[self._at : end]
        self._at = end
        return found

    def byte(self) -> int:
        return self.take(1)[0]

    def varint(self, most: int = U64[1]) -> int:
        number = shift = 0
        while True:
            byte = self.byte()
            number |= (byte & 0x7F) << shift
            if byte < 0x80:
                break
            shift += 7
            if shift > 63:
                raise Undecodable(self._path, "a number of more than 64 bits")
        if number > most:
            raise Undecodable(self._path, f"{number} is more than {most}")
        return number

    def zigzag(self) -> int:
        return _signed(self.varint())

    def running(self, count: int) -> list[int]:
        if count > len(self._data) - self._at:
            raise Undecodable(self._path, f"{count} numbers do not fit into what is there")
        return list(accumulate(self.zigzag() for _ in range(count)))

    def rest(self) -> bytes:
        return self.take(len(self._data) - self._at)

    def end(self) -> None:
        if self._at != len(self._data):
            raise Undecodable(self._path, f"{len(self._data) - self._at} B are left over")


def _signed(number: int) -> int:
    return number >> 1 if not number & 1 else -(number >> 1) - 1


def _opened(body: bytes) -> tuple[Header, tuple[str, ...], bytes]:
    if len(body) < _FIXED_BYTES + 4 or body[:2] != b"HG":
        raise Undecodable("$", "no envelope of codec compact")
    if body[2] != 1:
        raise Undecodable("$.v", f"version {body[2]}; this decoder reads 1")
    if zlib.crc32(body[:-4]) != int.from_bytes(body[-4:], "big"):
        raise Undecodable("$", "the checksum is wrong")
    kind, stream, clock = body[3:6]
    for name, code, known in (("kind", kind, _KINDS), ("stream", stream, STREAMS), ("clock", clock, CLOCKS)):
        if code >= len(known):
            raise Undecodable(f"$.{name}", f"{code} is none of {', '.join(known)}")
    reader = _Bytes(body[:-4], "$")
    reader.take(6)
    epoch = reader.take(8).hex()
    seq = reader.varint(I64[1])
    if seq == 0:
        raise Undecodable("$.seq", "begins at 1")
    prev = None
    if seq == 1 and reader.varint(1):
        prev = Previous(reader.take(8).hex(), reader.varint(I64[1]))
    ids = tuple(reader.take(8).hex() for _ in range(reader.varint(len(body))))
    head = Header(_KINDS[kind], STREAMS[stream], epoch, seq, prev, CLOCKS[clock])
    return head, ids, reader.rest()


def _inflated(data: bytes) -> bytes:
    unpack = zlib.decompressobj(-15)
    try:
        whole = unpack.decompress(data, MAX_BODY_BYTES)
    except zlib.error as error:
        raise Undecodable("$.body", f"does not inflate: {error}") from None
    if not unpack.eof or unpack.unused_data:
        raise Undecodable("$.body", "does not end where it should")
    return whole


@dataclass(slots=True)
class _Parsed:
    """A column whose head was read; `values` once the planes were."""

    count: int
    form: int
    width: int
    from_first: bool
    first: int
    present: Sequence[bool] | None
    quality: tuple[int, ...]
    values: list[int | float | str]

    @property
    def stored(self) -> int:
        """How many values stand in the planes."""
        if self.form == 1:
            return self.count
        return self.count - 1 if self.form == 0 and self.count else 0

    def spread(self) -> list[int | float | str | None]:
        """With a None where there is no value."""
        if self.present is None:
            return [*self.values]
        found = iter(self.values)
        return [next(found) if there else None for there in self.present]


def _head(reader: _Bytes, length: int) -> _Parsed:
    attribute = reader.byte()
    form, code = attribute & 3, attribute >> 4 & 7
    if form > 2 or code > 3:
        raise Undecodable("$.body", f"a column of unknown form {attribute:#04x}")
    quality: list[int] = []
    if attribute & 8:
        for _ in range(reader.varint(length)):
            count, level = reader.varint(length - len(quality)), reader.byte()
            if level > MAX_QUALITY or not count:
                raise Undecodable("$.body", f"a run of {count} of quality {level}")
            quality += [level] * count
        if len(quality) != length:
            raise Undecodable("$.body", f"{len(quality)} qualities for {length} values")
    present, count = None, length
    if attribute & 4:
        bits = int.from_bytes(reader.take((length + 7) // 8), "little")
        if bits >> length:
            raise Undecodable("$.body", "values beyond the column's end")
        present = [bool(bits >> i & 1) for i in range(length)]
        count = sum(present)
    parsed = _Parsed(
        count, form, _WIDTHS[code], bool(attribute & 0x80), 0, present, tuple(quality) or (0,) * length, []
    )
    if form == 0 and count:
        parsed.first = reader.zigzag()
    elif form == 1 and code != 3:
        raise Undecodable("$.body", "doubles have eight bytes")
    elif form == 2:
        parsed.values = [reader.take(reader.varint()).decode() for _ in range(count)]
    return parsed


def _fill(columns: Sequence[_Parsed], planes: bytes) -> None:
    """The columns' values, out of the planes: all lowest bytes, then all second lowest, ..."""
    reader = _Bytes(planes, "$.body.planes")
    parts: list[list[bytes]] = [[] for _ in columns]
    for at in range(8):
        for column, found in zip(columns, parts, strict=True):
            if column.stored and at < column.width:
                found.append(reader.take(column.stored))
    reader.end()
    for column, found in zip(columns, parts, strict=True):
        if column.form == 2 or not column.count:
            continue
        whole = bytearray(8 * column.stored)
        for at, plane in enumerate(found):
            whole[at::8] = plane
        if column.form == 1:
            column.values = list(struct.unpack(f"<{column.stored}d", whole))
            continue
        steps = map(_signed, struct.unpack(f"<{column.stored}Q", whole))
        if column.from_first:
            column.values = [column.first, *(column.first + step for step in steps)]
        else:
            column.values = list(accumulate(steps, initial=column.first))


@dataclass(frozen=True, slots=True)
class _Waiting:
    """What was read of the heads: the columns, and what makes the envelope of them once they are filled."""

    parsed: list[_Parsed]
    finish: Callable[[Header], Envelope]


def _samples(reader: _Bytes, pages: Sequence[Schema]) -> _Waiting:
    parsed: list[_Parsed] = []
    found: list[tuple[SchemaRow, tuple[int, ...], _Parsed]] = []
    for _ in range(reader.varint()):
        times = tuple(reader.running(reader.varint()))
        if not times or not (I64[0] <= min(times) and max(times) <= I64[1]):
            raise Undecodable("$.body", "times are none, or out of range")
        for series in _series(reader, pages):
            column = _head(reader, len(times))
            parsed.append(column)
            found.append((series, times, column))
    return _Waiting(parsed, lambda head: Envelope(head, columns=tuple(_column(*each) for each in found)))


def _series(reader: _Bytes, pages: Sequence[Schema]) -> Iterator[SchemaRow]:
    before = -1
    for _ in range(reader.varint()):
        page = reader.varint()
        before += reader.zigzag() + 1
        if page >= len(pages) or not 0 <= before < len(pages[page]):
            raise Undecodable("$.body", f"series {before} of schema {page} is in none")
        yield pages[page][before]


def _column(series: SchemaRow, times: tuple[int, ...], column: _Parsed) -> Column:
    kind = series.kind
    whole = [_wrapped(value, kind) if type(value) is int else value for value in column.spread()]
    wanted: Mapping[str, tuple[type, ...]] = {
        "f64": (float,) if series.decimals is None or column.form == 1 else (int,),
        "text": (str,),
    }
    if any(value is not None and type(value) not in wanted.get(kind, (int,)) for value in whole):
        raise Undecodable("$.body", f"{series.name}: values that are no {kind}")
    raw: list[Raw | None] = [*whole]
    if kind == "bool":
        if any(value not in (0, 1, None) for value in whole):
            raise Undecodable("$.body", f"{series.name}: values that are no {kind}")
        raw = [None if value is None else value == 1 for value in whole]
    return Column(
        series=series.name,
        unit=series.unit,
        kind=kind,
        decimals=None if column.form == 1 else series.decimals,
        revision=series.revision,
        times_ms=times,
        raw=tuple(raw),
        quality=column.quality,
        last=_newest(times, raw),
    )


def _wrapped(number: int, kind: str) -> int:
    """Integers are sent modulo 2^64."""
    number &= U64[1]
    return number if kind == "u64" or number <= I64[1] else number - (1 << 64)


def _newest(times: Sequence[int], raw: Sequence[Raw | None]) -> Raw | None:
    there = [(t, i) for i, t in enumerate(times) if raw[i] is not None]
    return raw[max(there)[1]] if there else None


def _windows(reader: _Bytes, pages: Sequence[Schema]) -> _Waiting:
    parsed: list[_Parsed] = []
    found: list[Callable[[], Iterator[WindowRow]]] = []
    for _ in range(reader.varint()):
        count = reader.varint(MAX_WINDOWS)
        starts = reader.running(count)
        length_ms = reader.varint(I64[1])
        step_ms = reader.varint(I64[1]) or length_ms
        corrections = [reader.varint(I64[1]) for _ in range(reader.varint(count))]
        if not starts or len(corrections) not in (0, count):
            raise Undecodable("$.body", f"{count} windows, {len(corrections)} corrections")
        axis = axis_of(starts, corrections, length_ms, step_ms, "$.body")
        for series in _series(reader, pages):
            digits = reader.varint(MAX_DIGITS + 1)
            mask = reader.varint((1 << len(_NAMES)) - 1)
            percents = [reader.take(reader.varint(10)).decode() for _ in range(reader.varint(100))]
            if any(not _PERCENT.fullmatch(percent) for percent in percents):
                raise Undecodable("$.body", f"{series.name}: percentiles {percents}")
            names = ["n", *(name for i, name in enumerate(_NAMES) if mask >> i & 1)]
            columns = [_head(reader, count) for _ in (*names, *percents)]
            parsed += columns

            def rows(
                series: SchemaRow = series,
                digits: int = digits,
                names: Sequence[str] = names,
                percents: Sequence[str] = percents,
                columns: Sequence[_Parsed] = columns,
                axis: object = axis,
            ) -> Iterator[WindowRow]:
                lists = _lists(digits - 1 if digits else None, names, percents, columns, series)
                return rows_of(axis, series, lists, f"$.body[{series.name!r}]")  # type: ignore[arg-type]

            found.append(rows)
    return _Waiting(
        parsed, lambda head: Envelope(head, windows=tuple(row for rows in found for row in rows()))
    )


def _lists(
    digits: int | None,
    names: Sequence[str],
    percents: Sequence[str],
    columns: Sequence[_Parsed],
    series: SchemaRow,
) -> Lists:
    path = f"$.body[{series.name!r}]"
    spread = [[_number(value, series.kind, path) for value in column.spread()] for column in columns]
    known = dict(zip(names, spread, strict=False))
    counts = [count for count in known["n"] if type(count) is int]
    numbers: dict[str, list[Number]] = {
        name: [value for value in values if value is not None]
        for name, values in known.items()
        if name in STATISTICS or (name == "tmean" and digits is not None)
    }
    asked = {name: values for name, values in known.items() if name != "n" and name not in numbers}
    return Lists(digits, counts, numbers, asked, dict(zip(percents, spread[len(names) :], strict=True)))


def _number(value: int | float | str | None, kind: str, path: str) -> Number | None:
    """An integer that is too long for 64 bits is sent as its digits."""
    if not isinstance(value, str):
        return value if not isinstance(value, int) else _wrapped(value, "i64")
    if not re.fullmatch(r"-?\d{1,60}", value):
        raise Undecodable(path, f"{value[:60]!r} is no integer")
    return int(value)
