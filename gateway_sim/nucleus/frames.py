"""Event-stream frames: how one message of headers and payload looks on the socket; pure, no I/O.

Layout (big-endian): total u32, headers_len u32, crc32 of those 8 B, headers, payload, crc32 of all before.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from uuid import UUID

HeaderValue = bool | int | str | bytes | UUID

MAX_MESSAGE_BYTES = 24 * 1024 * 1024  # aws-c-event-stream, AWS_EVENT_STREAM_MAX_MESSAGE_SIZE
MAX_HEADERS_BYTES = 128 * 1024  # aws-c-event-stream, AWS_EVENT_STREAM_MAX_HEADERS_SIZE
MAX_HEADERS = 1024
MAX_HEADER_VALUE_BYTES = 32_767
MAX_HEADER_NAME_BYTES = 127

_PRELUDE = struct.Struct(">II")
_U32 = struct.Struct(">I")
_PRELUDE_BYTES = 12
_OVERHEAD_BYTES = 16


class FrameError(ValueError):
    """These bytes are no event-stream frame; the connection they came on cannot go on."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One message: its headers by name, and its payload."""

    headers: Mapping[str, HeaderValue]
    payload: bytes = b""


def encode(headers: Mapping[str, HeaderValue], payload: bytes = b"") -> bytes:
    """Return the frame; ints become 32-bit headers, which is all that the RPC layer uses."""
    if len(headers) > MAX_HEADERS:
        raise FrameError(f"{len(headers)} headers; the limit is {MAX_HEADERS}")
    head = b"".join(_encode_header(name, value) for name, value in headers.items())
    total = _OVERHEAD_BYTES + len(head) + len(payload)
    if total > MAX_MESSAGE_BYTES:
        raise FrameError(f"message of {total} B; the limit is {MAX_MESSAGE_BYTES} B")
    prelude = _PRELUDE.pack(total, len(head))
    body = b"".join((prelude, _U32.pack(zlib.crc32(prelude)), head, payload))
    return body + _U32.pack(zlib.crc32(body))


def _encode_header(name: str, value: HeaderValue) -> bytes:
    raw = name.encode()
    if not 1 <= len(raw) <= MAX_HEADER_NAME_BYTES:
        raise FrameError(f"header name {name!r} is {len(raw)} B; it must be 1 to {MAX_HEADER_NAME_BYTES}")
    start = bytes((len(raw),)) + raw
    if isinstance(value, bool):
        return start + (b"\0" if value else b"\1")
    if isinstance(value, int):
        return start + b"\4" + struct.pack(">i", value)
    if isinstance(value, UUID):
        return start + b"\x09" + value.bytes
    kind, data = (b"\7", value.encode()) if isinstance(value, str) else (b"\6", value)
    if len(data) > MAX_HEADER_VALUE_BYTES:
        raise FrameError(f"header {name!r} is {len(data)} B; the limit is {MAX_HEADER_VALUE_BYTES}")
    return start + kind + struct.pack(">H", len(data)) + data


class Decoder:
    """Takes bytes as they arrive and gives whole frames; holds at most one unfinished frame."""

    def __init__(self, max_message_bytes: int = MAX_MESSAGE_BYTES) -> None:
        self._max_message_bytes = max_message_bytes
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield each frame that is now complete; raise FrameError where the stream stops making sense."""
        self._buffer += data
        while len(self._buffer) >= _PRELUDE_BYTES:
            total, headers_len = self._prelude()
            if len(self._buffer) < total:
                return
            raw = bytes(memoryview(self._buffer)[:total])
            del self._buffer[:total]
            yield _decode_whole(raw, headers_len)

    @property
    def pending_bytes(self) -> int:
        """How much of an unfinished frame is held."""
        return len(self._buffer)

    def _prelude(self) -> tuple[int, int]:
        prelude = bytes(self._buffer[:8])
        if zlib.crc32(prelude) != _U32.unpack_from(self._buffer, 8)[0]:
            raise FrameError("prelude checksum does not match: not an event-stream message")
        total, headers_len = _PRELUDE.unpack(prelude)
        if total > self._max_message_bytes:
            raise FrameError(f"message of {total} B; the limit is {self._max_message_bytes} B")
        if headers_len > MAX_HEADERS_BYTES or headers_len + _OVERHEAD_BYTES > total:
            raise FrameError(f"{headers_len} B of headers in a message of {total} B")
        return total, headers_len


def _decode_whole(raw: bytes, headers_len: int) -> Frame:
    if zlib.crc32(memoryview(raw)[:-4]) != _U32.unpack_from(raw, len(raw) - 4)[0]:
        raise FrameError("message checksum does not match")
    end = _PRELUDE_BYTES + headers_len
    return Frame(_decode_headers(raw[_PRELUDE_BYTES:end]), raw[end:-4])


def _decode_headers(raw: bytes) -> dict[str, HeaderValue]:
    headers: dict[str, HeaderValue] = {}
    at = 0
    try:
        while at < len(raw):
            name_end = at + 1 + raw[at]
            name = raw[at + 1 : name_end].decode()
            if not name or name in headers or len(headers) == MAX_HEADERS:
                raise FrameError(f"header {name!r} is empty, repeated or one of more than {MAX_HEADERS}")
            headers[name], at = _decode_value(raw, name_end)
    except (IndexError, struct.error, UnicodeDecodeError) as error:
        raise FrameError(f"headers do not decode: {error}") from error
    return headers


_FIXED: dict[int, tuple[int, Callable[[bytes], HeaderValue]]] = {
    0: (0, lambda _: True),
    1: (0, lambda _: False),
    2: (1, lambda raw: int.from_bytes(raw, "big", signed=True)),
    3: (2, lambda raw: int.from_bytes(raw, "big", signed=True)),
    4: (4, lambda raw: int.from_bytes(raw, "big", signed=True)),
    5: (8, lambda raw: int.from_bytes(raw, "big", signed=True)),
    8: (8, lambda raw: int.from_bytes(raw, "big", signed=True)),
    9: (16, lambda raw: UUID(bytes=raw)),
}


def _decode_value(raw: bytes, at: int) -> tuple[HeaderValue, int]:
    kind = raw[at]
    at += 1
    if kind in _FIXED:
        size, convert = _FIXED[kind]
    elif kind in (6, 7):
        size = int(struct.unpack_from(">H", raw, at)[0])
        at += 2
        if size > MAX_HEADER_VALUE_BYTES:
            raise FrameError(f"header value of {size} B; the limit is {MAX_HEADER_VALUE_BYTES}")
        convert = bytes if kind == 6 else bytes.decode
    else:
        raise FrameError(f"unknown header type {kind}")
    if at + size > len(raw):
        raise FrameError("header value runs past the headers")
    return convert(raw[at : at + size]), at + size
