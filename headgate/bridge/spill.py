"""The file in which a bridge leaves what the hub has not acknowledged, for its next start.

`HGSP`, version u8; then records, little-endian: u32 length, u32 CRC-32 of kind and payload, u8 kind, payload.
Kind 1: a series table, JSON `{"dictionary": hex, "series": rows}`. Kind 2: a batch as it was encoded.
"""

from __future__ import annotations

import contextlib
import json
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from headgate.batch import wire_key
from headgate.bridge.tables import Row
from headgate.config.stateroot import sync_directory, write_atomically
from headgate.errors import Reject

_START = b"HGSP\x01"
_RECORD = struct.Struct("<IIB")
_TABLE, _WIRE = 1, 2


@dataclass(slots=True)
class Spilled:
    """What a spill file held. `fault` says where it was torn or unreadable; all before that is good."""

    tables: dict[bytes, list[Row]] = field(default_factory=dict)
    wires: list[bytes] = field(default_factory=list)
    fault: str = ""


def write_spill(path: Path, tables: Mapping[bytes, Iterable[Row]], wires: Iterable[bytes]) -> int:
    """Write the file durably, whole or not at all; return its size in bytes. Raises OSError."""
    out = bytearray(_START)
    for dictionary, rows in tables.items():
        text = json.dumps({"dictionary": dictionary.hex(), "series": list(rows)}, separators=(",", ":"))
        _add(out, _TABLE, text.encode())
    for wire in wires:
        _add(out, _WIRE, wire)
    write_atomically(path, bytes(out))
    return len(out)


def read_spill(path: Path) -> Spilled | None:
    """Read the file up to its end or its first fault; None when there is none. Raises OSError."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None
    spilled = Spilled()
    try:
        for kind, payload in _records(data):
            if kind == _TABLE:
                table = json.loads(payload)
                spilled.tables[bytes.fromhex(table["dictionary"])] = table["series"]
            elif kind == _WIRE:
                wire_key(payload)
                spilled.wires.append(payload)
            else:
                raise Reject(f"record of unknown kind {kind}")
    except (Reject, ValueError, KeyError, TypeError) as error:
        spilled.fault = str(error)
    return spilled


def remove_spill(path: Path) -> None:
    """Remove the file durably; nothing happens when there is none. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
        sync_directory(path.parent)


def _add(out: bytearray, kind: int, payload: bytes) -> None:
    checksum = zlib.crc32(payload, zlib.crc32(bytes([kind])))
    out += _RECORD.pack(len(payload), checksum, kind) + payload


def _records(data: bytes) -> Iterator[tuple[int, bytes]]:
    if data[: len(_START)] != _START:
        raise Reject(f"starts with {data[: len(_START)]!r}, expected {_START!r}")
    at = len(_START)
    while at < len(data):
        if at + _RECORD.size > len(data):
            raise Reject(f"torn at byte {at}")
        length, checksum, kind = _RECORD.unpack_from(data, at)
        payload = data[at + _RECORD.size : at + _RECORD.size + length]
        if len(payload) < length:
            raise Reject(f"torn at byte {at}")
        if zlib.crc32(payload, zlib.crc32(bytes([kind]))) != checksum:
            raise Reject(f"damaged at byte {at}")
        yield kind, payload
        at += _RECORD.size + length
