"""The header that every envelope starts with, and how much room it leaves."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

from headgate.model import ClockState, EnvelopeId

SCHEMA = 1
COLUMNS = 2
COMPACT = 3
CODECS = {1: "json", 2: "json", 3: "compact"}
"""An envelope's schema: the codec, which is a level of its topic, and the JSON's version."""
LIMIT_BYTES = 5_120
"""Payload and topic of one envelope: AWS IoT Core meters messages in steps of 5 KB (pricing page)."""
HEADER_MAX_BYTES = 160
"""More than any header: with a seq of 16 digits, or with seq 1 and `prev` with such a one."""
COMPACT_HEADER_MAX_BYTES = 50
"""Of codec compact, the checksum at the end included; schema ids come on top."""
MAGIC = b"HG"
COMPACT_VERSION = 1
STREAMS = ("live", "backlog", "alarms", "reports", "health")


@dataclass(frozen=True, slots=True)
class Part:
    """The body of one envelope, not sealed yet: what follows the header.

    `text` is JSON, closing brace included; of codec compact it is empty, `data` is the deflated body and
    `schemas` are the ids it is decoded with.
    """

    kind: str
    clock: ClockState
    text: str
    samples: int
    schema: int = SCHEMA
    data: bytes = b""
    schemas: tuple[bytes, ...] = ()


def topic(thing: str, stream: str, schema: int = SCHEMA) -> str:
    """Where an envelope is published, through Basic Ingest."""
    return f"$aws/rules/hg_ingest_v1/hg/v1/{thing}/up/{stream}/{CODECS[schema]}"


def room_bytes(thing: str, schema: int = SCHEMA) -> int:
    """How long a part may be for the envelope to keep LIMIT_BYTES in any stream; ids of schemas included."""
    header = COMPACT_HEADER_MAX_BYTES if schema == COMPACT else HEADER_MAX_BYTES
    return LIMIT_BYTES - len(topic(thing, "backlog", schema).encode()) - header


def seal(part: Part, key: EnvelopeId, previous: tuple[int, int] | None) -> bytes:
    """The envelope's bytes. `previous` is the epoch before and its last seq; it travels with seq 1 only.

    Of kind plain the text is the whole message (headgate/envelope/plain.py).
    """
    if part.kind == "plain":
        return part.text.encode()
    if part.schema == COMPACT:
        return _seal_compact(part, key, previous)
    before = ""
    if key.seq == 1:
        before = '"prev":null,'
        if previous is not None:
            before = f'"prev":{{"epoch":"{previous[0]:016x}","seq":{previous[1]}}},'
    return (
        f'{{"v":{part.schema},"kind":"{part.kind}","stream":"{key.stream}","epoch":"{key.epoch:016x}",'
        f'"seq":{key.seq},{before}"clock":"{part.clock.name.lower()}",{part.text}'
    ).encode()


def varint(number: int) -> bytes:
    """Seven bits a byte, low ones first; the high bit says that more follow."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def zigzag(number: int) -> bytes:
    """A signed number as a varint: 0, -1, 1, -2 ... are 0, 1, 2, 3 ..."""
    return varint(2 * number if number >= 0 else -2 * number - 1)


def _seal_compact(part: Part, key: EnvelopeId, previous: tuple[int, int] | None) -> bytes:
    kind = ("samples", "windows").index(part.kind)
    fixed = bytes((COMPACT_VERSION, kind, STREAMS.index(key.stream), int(part.clock)))
    whole = MAGIC + fixed + struct.pack(">Q", key.epoch) + varint(key.seq)
    if key.seq == 1:
        whole += b"\0" if previous is None else b"\1" + struct.pack(">Q", previous[0]) + varint(previous[1])
    whole += varint(len(part.schemas)) + b"".join(part.schemas) + part.data
    return whole + struct.pack(">I", zlib.crc32(whole))
