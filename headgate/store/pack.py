"""The bytes of one block (docs/store.md, "Block"): series over one time column, each readable alone."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from headgate.errors import Reject
from headgate.model import Kind, Series
from headgate.store import pack_v1
from headgate.store.arrays import DTYPES, Codes, Flags, Line, Stretch, Times, Values
from headgate.store.planes import (
    Effort,
    Packed,
    Plan,
    Reader,
    plan,
    read_integers,
    read_packed,
    read_plane,
    unpacked,
    varint,
    write_integers,
    write_plane,
)
from headgate.store.scale import MAX_DECIMALS, POWERS, guessed, scaled, scaled_rows, unscaled

VERSION = 2
_HEADER = struct.Struct("<BBII")  # version, flags, series, samples of each; then CRC-32 of all else
_CRC = struct.Struct("<I")
_WIDE = 1
_INTEGERS, _SCALED, _BITS, _TEXTS, _EMPTY = range(5)
_GAPS, _QUALITY = 0x10, 0x20

Prepared = tuple[int, int, Plan, int]
"""Form, decimals, and the row of a plan."""


def encode(stretch: Stretch) -> bytes:
    """One block of at least one sample; the series themselves are kept beside it."""
    times = bytearray()
    effort = Effort()
    write_integers(times, plan(stretch.times_ms.view(np.uint64)[None, :]), 0, effort)
    prepared = _prepare(stretch)
    streams = [bytes(times)]
    lines = dict(zip(_order(stretch), stretch.lines(), strict=True))
    streams += [_stream(lines[place], prepared.get(place), effort) for place in range(len(lines))]
    lengths = [len(stream) for stream in streams]
    wide = max(lengths) > 0xFFFF
    directory = np.array(lengths, "<u4" if wide else "<u2").tobytes()
    body = b"".join([directory, *streams])
    head = _HEADER.pack(VERSION, _WIDE if wide else 0, len(lengths) - 1, len(stretch.times_ms))
    return head + _CRC.pack(zlib.crc32(body, zlib.crc32(head))) + body


def decode(data: bytes, width: int, wanted: Mapping[int, Series]) -> list[Line]:
    """The series at the `wanted` places of a block of `width` series, by place.

    Raises Reject for damage and unknown versions.
    """
    if data[:1] == bytes([pack_v1.VERSION]):
        return pack_v1.decode(data, width, wanted)
    if data[:1] != bytes([VERSION]):
        raise Reject(f"block of version {data[:1].hex()}, this hub reads 1 to {VERSION}: update headgate.Hub")
    if len(data) < _HEADER.size + _CRC.size:
        raise Reject("damaged block: cut short")
    _, flags, found, count = _HEADER.unpack_from(data)
    body = memoryview(data)[_HEADER.size + _CRC.size :]
    if zlib.crc32(body, zlib.crc32(data[: _HEADER.size])) != _CRC.unpack_from(data, _HEADER.size)[0]:
        raise Reject("damaged block: its checksum differs")
    if found != width:
        raise Reject(f"block of {found} series, its shape has {width}")
    form = "<u4" if flags & _WIDE else "<u2"
    size_bytes = (width + 1) * np.dtype(form).itemsize
    ends = np.cumsum(np.frombuffer(body[:size_bytes], form), dtype=np.int64) + size_bytes
    try:
        times = read_integers(Reader(body[size_bytes : int(ends[0])]), count).view(np.int64)
        cut = ends.tolist()
        streams = {place: Reader(body[cut[place] : cut[place + 1]]) for place in sorted(wanted)}
        return _lines(streams, wanted, times)
    except (Reject, UnicodeDecodeError, ValueError, IndexError) as error:
        raise Reject(f"damaged block: {error}") from error


def _order(stretch: Stretch) -> list[int]:
    return [place for places in stretch.shape.places.values() for place in places]


def _prepare(stretch: Stretch) -> dict[int, Prepared]:
    """All series without gaps at once, a kind at a time: what is left is written one by one."""
    found: dict[int, Prepared] = {}
    for kind, places in stretch.shape.places.items():
        values = stretch.values[kind]
        if kind == "text" or kind in stretch.present:
            continue
        if kind != "f64":
            chosen = plan(_as_u64(values))
            found |= {place: (_INTEGERS, 0, chosen, row) for row, place in enumerate(places)}
            continue
        hints = [stretch.shape.series[place].decimals for place in places]
        rows = [row for row, hint in enumerate(hints) if hint is not None]
        if not rows:
            continue
        decimals = [hint for hint in hints if hint is not None]
        floats = values if len(rows) == len(hints) else values[rows]
        numbers, exact = scaled_rows(floats, decimals)  # type: ignore[arg-type]  # f64 here
        chosen = plan(numbers.view(np.uint64))
        for at, (row, good) in enumerate(zip(rows, exact.tolist(), strict=True)):
            if good:
                found[places[row]] = (_SCALED, decimals[at], chosen, at)
    return found


def _stream(line: Line, prepared: Prepared | None, effort: Effort) -> bytes:
    out = bytearray(1)
    head = 0
    values = line.values
    gaps, codes = bytearray(), bytearray()
    if line.present is not None and not line.present.all():
        head |= _GAPS
        write_plane(gaps, np.packbits(line.present, bitorder="little").tobytes(), effort)
        values = values[line.present]
        prepared = None
    if line.quality is not None and line.quality.any():
        head |= _QUALITY
        write_plane(codes, line.quality.tobytes(), effort)
    if not len(values):
        form, tail = _EMPTY, b""
    elif prepared is None:
        form, tail = _single(line.series, values, effort)
    else:
        form, decimals, chosen, row = prepared
        found = bytearray([decimals]) if form == _SCALED else bytearray()
        write_integers(found, chosen, row, effort)
        tail = bytes(found)
    out[0] = head | form
    return bytes(out + gaps + codes + tail)


def _single(series: Series, values: Values, effort: Effort) -> tuple[int, bytes]:
    """One series' values: the form and the bytes behind it."""
    out = bytearray()
    if series.kind == "text":
        return _TEXTS, _texts(values, effort)
    if series.kind != "f64":
        write_integers(out, plan(_as_u64(values[None, :])), 0, effort)
        return _INTEGERS, bytes(out)
    floats = values.astype(np.float64, copy=False)
    decimals = series.decimals
    if decimals is None or not scaled(floats, POWERS[decimals])[1].all():
        decimals = guessed(floats)
    if decimals is None:
        write_integers(out, plan(np.ascontiguousarray(floats).view(np.uint64)[None, :]), 0, effort)
        return _BITS, bytes(out)
    out.append(decimals)
    write_integers(out, plan(scaled(floats, POWERS[decimals])[0].view(np.uint64)[None, :]), 0, effort)
    return _SCALED, bytes(out)


def _texts(values: Values, effort: Effort) -> bytes:
    """The different texts once, in the order of their first, then which it is each time."""
    numbers: dict[str, int] = {}
    which = [numbers.setdefault(text, len(numbers)) for text in values.tolist()]
    out = bytearray(varint(len(numbers)))
    texts = [text.encode() for text in numbers]
    for text in texts:
        out += varint(len(text))
    flat = b"".join(texts)
    if flat:
        write_plane(out, flat, effort)
    write_integers(out, plan(np.array([which], np.uint64)), 0, effort)
    return bytes(out)


def _read_texts(reader: Reader, count: int) -> NDArray[np.object_]:
    sizes = [reader.varint() for _ in range(_bounded(reader.varint(), count))]
    flat = Reader(bytes(read_plane(reader, sum(sizes))))
    found: NDArray[np.object_] = np.empty(len(sizes), np.object_)
    found[:] = [str(flat.take(size), "utf-8") for size in sizes]
    return found


def _bounded(count: int, most: int) -> int:
    if count > most:
        raise Reject(f"{count} texts for {most} samples")
    return count


def _lines(streams: Mapping[int, Reader], wanted: Mapping[int, Series], times: Times) -> list[Line]:
    """The series of these streams. Integers that are packed alike become numbers together."""
    opened = [_open(reader, wanted[place], times) for place, reader in streams.items()]
    alike: dict[tuple[int, int, int], list[_Opened]] = {}
    for one in opened:
        if one.packed is not None:
            key = (one.filled, one.packed.order, len(one.packed.planes))
            alike.setdefault(key, []).append(one)
    for (count, _, _), members in alike.items():
        numbers = unpacked([one.packed for one in members if one.packed is not None], count)
        scales = [one.decimals or 0 for one in members]
        doubles = unscaled(numbers.view(np.int64), POWERS[scales][:, None]) if any(scales) else None
        for row, one in enumerate(members):
            if doubles is not None and one.form == _SCALED:
                one.values = doubles[row]
            else:
                one.values = _of_form(numbers[row], one)
    return [one.line(times) for one in opened]


@dataclass(slots=True)
class _Opened:
    """One stream, its integers still packed; `filled` of its samples have a value."""

    series: Series
    form: int
    present: Flags | None
    quality: Codes | None
    filled: int
    decimals: int | None = None
    packed: Packed | None = None
    texts: NDArray[np.object_] | None = None
    values: Values | None = None

    def line(self, times: Times) -> Line:
        values = self.values if self.values is not None else np.zeros(0, DTYPES[self.series.kind])
        if self.present is not None:
            whole = np.zeros(len(times), DTYPES[self.series.kind])
            whole[self.present] = values
            values = whole
        return Line(self.series, times, values, self.present, self.quality)


_FORMS: Mapping[Kind, frozenset[int]] = {
    "f64": frozenset({_SCALED, _BITS, _EMPTY}),
    "i64": frozenset({_INTEGERS, _EMPTY}),
    "u64": frozenset({_INTEGERS, _EMPTY}),
    "bool": frozenset({_INTEGERS, _EMPTY}),
    "text": frozenset({_TEXTS, _EMPTY}),
}


def _open(reader: Reader, series: Series, times: Times) -> _Opened:
    count = len(times)
    head = reader.u8()
    present: Flags | None = None
    quality: Codes | None = None
    if head & _GAPS:
        bits = np.frombuffer(read_plane(reader, (count + 7) // 8), np.uint8)
        present = np.unpackbits(bits, count=count, bitorder="little").view(np.bool_)
    if head & _QUALITY:
        quality = np.frombuffer(read_plane(reader, count), np.uint8)
    form = head & ~(_GAPS | _QUALITY)
    filled = count if present is None else int(present.sum())
    found = _Opened(series, form, present, quality, filled)
    if form not in _FORMS[series.kind] or (form == _EMPTY) != (filled == 0):
        raise Reject(f"form {form} of {filled} values of kind {series.kind}")
    if form == _TEXTS:
        found.texts = _read_texts(reader, filled)
    if form == _SCALED:
        found.decimals = reader.u8()
        if found.decimals > MAX_DECIMALS:
            raise Reject(f"{found.decimals} decimals")
    if form != _EMPTY:
        found.packed = read_packed(reader, filled)
    reader.end()
    return found


def _of_form(numbers: NDArray[np.uint64], one: _Opened) -> Values:
    if one.texts is not None:
        if int(numbers.max()) >= len(one.texts):
            raise Reject("a text that is not there")
        return one.texts[numbers.astype(np.intp)]
    if one.form == _SCALED:
        return numbers.view(np.int64).astype(np.float64)  # without decimals
    if one.form == _BITS:
        return numbers.view(np.float64)
    return _of_kind(numbers, one.series.kind)


def _as_u64(values: Values) -> NDArray[np.uint64]:
    if values.dtype == np.bool_:
        return values.astype(np.uint64)
    return np.ascontiguousarray(values).view(np.uint64)


def _of_kind(numbers: NDArray[np.uint64], kind: Kind) -> Values:
    if kind == "bool":
        return numbers.astype(np.bool_)
    return numbers.view(np.int64) if kind == "i64" else numbers
