"""Event-stream frames: bytes to headers and payload, and back. Pure.

`u32 total | u32 headers | u32 CRC of these eight bytes | headers | payload | u32 CRC of all before`, big-
endian, the CRC is zlib's. A header is `u8 length, name, u8 type, value`.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from zlib import crc32

from headgate.errors import Retry

MAX_FRAME_BYTES = 24 * 1024 * 1024
MAX_HEADERS = 1024
MAX_HEADER_VALUE_BYTES = 32_767
"""The three limits are the protocol's (aws-c-event-stream)."""

HeaderValue = bool | int | bytes | str

_PRELUDE = struct.Struct(">III")
_U32 = struct.Struct(">I")
_U16 = struct.Struct(">H")
_I32 = struct.Struct(">i")
_OVERHEAD_BYTES = _PRELUDE.size + _U32.size
_FIXED_BYTES = {0: 0, 1: 0, 2: 1, 3: 2, 4: 4, 5: 8, 8: 8, 9: 16}
_INTEGERS = {2, 3, 4, 5, 8}
_BYTES, _STRING, _UUID = 6, 7, 9


class FrameError(Retry):
    """The bytes are no frame; the connection they came on cannot be used any more."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded frame. Integers of every width and timestamps (ms) are int, bytes and UUIDs are bytes."""

    headers: Mapping[str, HeaderValue]
    payload: bytes


def i32_header(name: str, value: int) -> bytes:
    """One header of type 4."""
    return bytes((len(name),)) + name.encode() + b"\x04" + _I32.pack(value)


def string_header(name: str, value: str) -> bytes:
    """One header of type 7."""
    text = value.encode()
    return bytes((len(name),)) + name.encode() + b"\x07" + _U16.pack(len(text)) + text


def encode(headers: bytes, payload: bytes) -> bytes:
    """A frame from encoded headers and a payload."""
    total_bytes = _OVERHEAD_BYTES + len(headers) + len(payload)
    lengths = struct.pack(">II", total_bytes, len(headers))
    body = b"".join((lengths, _U32.pack(crc32(lengths)), headers, payload))
    return body + _U32.pack(crc32(body))


class Decoder:
    """Takes bytes as they come, gives the frames they complete. After a FrameError it gives nothing but
    that.
    """

    def __init__(self, limit_bytes: int = MAX_FRAME_BYTES) -> None:
        self._limit_bytes = limit_bytes
        self._chunks: list[bytes] = []
        self._have_bytes = 0
        self._need_bytes = _PRELUDE.size
        self._broken: FrameError | None = None

    def feed(self, data: bytes) -> list[Frame]:
        """The frames completed by `data`, in order. Raises FrameError as soon as the bytes cannot be frames.

        Frames before a broken one are lost with it: the connection ends, and their callers see Retry.
        """
        if self._broken is not None:
            raise self._broken
        self._chunks.append(data)
        self._have_bytes += len(data)
        if self._have_bytes < self._need_bytes:
            return []
        data = b"".join(self._chunks) if len(self._chunks) > 1 else data
        try:
            frames, at = self._take(data)
        except FrameError as error:
            self._broken = error
            self._chunks.clear()
            raise
        self._chunks = [data[at:]] if at < len(data) else []
        self._have_bytes = len(data) - at
        return frames

    def _take(self, data: bytes) -> tuple[list[Frame], int]:
        frames: list[Frame] = []
        at = 0
        while True:
            self._need_bytes = _PRELUDE.size
            if len(data) - at < self._need_bytes:
                return frames, at
            total_bytes, headers_bytes, prelude_crc = _PRELUDE.unpack_from(data, at)
            if crc32(data[at : at + 8]) != prelude_crc:
                raise FrameError("frame with a wrong checksum of its lengths")
            if not _OVERHEAD_BYTES + headers_bytes <= total_bytes <= self._limit_bytes:
                raise FrameError(f"frame of {total_bytes} B with {headers_bytes} B of headers")
            self._need_bytes = total_bytes
            if len(data) - at < total_bytes:
                return frames, at
            frames.append(_decode(data[at : at + total_bytes], headers_bytes))
            at += total_bytes


def _decode(frame: bytes, headers_bytes: int) -> Frame:
    end = len(frame) - _U32.size
    if crc32(frame[:end]) != _U32.unpack_from(frame, end)[0]:
        raise FrameError("frame with a wrong checksum")
    start = _PRELUDE.size
    return Frame(
        _decode_headers(frame[start : start + headers_bytes]),
        frame[start + headers_bytes : end],
    )


@lru_cache(256)
def _decode_headers(data: bytes) -> Mapping[str, HeaderValue]:
    """All events of a subscription have the same ones."""
    headers: dict[str, HeaderValue] = {}
    at = 0
    try:
        while at < len(data):
            name_end = at + 1 + data[at]
            name = data[at + 1 : name_end].decode()
            kind = data[name_end]
            value, at = _decode_value(data, kind, name_end + 1)
            headers[name] = value
            if len(headers) > MAX_HEADERS:
                raise FrameError(f"frame with more than {MAX_HEADERS} headers")
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise FrameError(f"frame with broken headers: {error}") from None
    return headers


def _decode_value(data: bytes, kind: int, at: int) -> tuple[HeaderValue, int]:
    if kind in (_STRING, _BYTES):
        size = _U16.unpack_from(data, at)[0]
        at += 2
    elif kind in _FIXED_BYTES:
        size = _FIXED_BYTES[kind]
    else:
        raise FrameError(f"frame with a header of unknown type {kind}")
    end = at + size
    if end > len(data) or size > MAX_HEADER_VALUE_BYTES:
        raise FrameError(f"frame with a header value of {size} B")
    raw = data[at:end]
    if kind == _STRING:
        return raw.decode(), end
    if kind in _INTEGERS:
        return int.from_bytes(raw, "big", signed=True), end
    if kind in (_BYTES, _UUID):
        return raw, end
    return kind == 0, end
