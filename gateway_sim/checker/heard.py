"""What the radio says was heard and read: its records, read as they grow, as polls with raw values.

A packet's time is that of its first transmission that was heard. A poll may be re-issued: whether a packet or
a read must arrive is sometimes known only from what the radio records after it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from gateway_sim.ble.blefile import RADIO_RECORD, BleDevice, BleError, Radio, sent_path
from gateway_sim.checker.growing import GrowingFile
from gateway_sim.checker.served import Poll

GRACE_MS = 250
"""What was heard so shortly before discovery ended may still have been on its way (docs/wire.md)."""
ADVERTS = "adverts"


def group_name(device: BleDevice, tag: str) -> str:
    """The group a tag belongs to: a packet's tags come together, a read's alone."""
    return tag if device.is_read else ADVERTS


class RadioRecords:
    """Reads `<device>.sent.jsonl` of every sensor and `radio.jsonl`; `new` yields what came or changed."""

    def __init__(self, radio: Radio, directory: Path) -> None:
        self._devices = [(device, _Lines(sent_path(directory, device.name))) for device in radio.devices]
        self._discovery = _Lines(directory / RADIO_RECORD)
        self._ends: list[int] = []
        self._packets = {device.name: _Packets(device) for device in radio.devices}
        self._sessions = {device.name: _Sessions(device) for device in radio.devices}

    def new(self) -> Iterator[Poll]:
        """Raises BleError for a record that does not fit."""
        ends = [row["t_ms"] for row in self._discovery.new() if not row["discovering"]]
        self._ends += ends
        for device, lines in self._devices:
            packets, sessions = self._packets[device.name], self._sessions[device.name]
            for row in lines.new():
                if row["kind"] == "read":
                    sessions.add(row)
                elif row["heard"] and row["raw"]:
                    packets.add(row)
            yield from packets.changed(self._ends, bool(ends))
            yield from sessions.changed()


@dataclass(slots=True)
class _Packets:
    """Of one advertising sensor, by count: the poll, and when each of its transmissions was heard."""

    device: BleDevice
    _polls: dict[int, tuple[Poll, list[int]]] = field(default_factory=dict)
    _fresh: set[int] = field(default_factory=set)

    def add(self, row: dict[str, Any]) -> None:
        count = row["count"]
        if count not in self._polls:
            raws = [row["raw"][tag.name] for tag in self.device.tags]
            self._polls[count] = (Poll(row["t_ms"], self.device.name, ADVERTS, count, raws), [])
        self._polls[count][1].append(row["t_ms"])
        self._fresh.add(count)

    def changed(self, ends: list[int], ended: bool) -> Iterator[Poll]:
        if ended:
            since_ms = ends[-1] - 10 * GRACE_MS
            self._fresh |= {n for n, (poll, _) in self._polls.items() if poll.t_ms >= since_ms}
        for count in sorted(self._fresh):
            poll, heard_ms = self._polls[count]
            sure = any(not any(end - GRACE_MS <= t <= end for end in ends) for t in heard_ms)
            yield replace(poll, required=sure)
        self._fresh.clear()


@dataclass(slots=True)
class _Sessions:
    """Of one sensor that is read: reads by session."""

    device: BleDevice
    _reads: dict[int, list[Poll]] = field(default_factory=dict)
    _fresh: set[int] = field(default_factory=set)

    def add(self, row: dict[str, Any]) -> None:
        ((tag, raw),) = row["raw"].items()
        poll = Poll(row["t_ms"], self.device.name, tag, row["count"], [raw])
        self._reads.setdefault(row["session"], []).append(poll)
        self._fresh.add(row["session"])

    def changed(self) -> Iterator[Poll]:
        wanted = sorted(tag.name for tag in self.device.tags)
        for session in sorted(self._fresh):
            reads = self._reads[session]
            # What the gateway reads for itself is each characteristic once; all else was asked for.
            whole = sorted(read.group for read in reads) == wanted
            yield from (replace(read, required=whole) for read in reads)
        self._fresh.clear()


class _Lines:
    def __init__(self, path: Path) -> None:
        self._lines = GrowingFile(path)

    def new(self) -> Iterator[dict[str, Any]]:
        for line in self._lines.new():
            try:
                yield json.loads(line)
            except ValueError as error:
                raise BleError(f"{self._lines.path}: {line[:80]!r} is no line of a radio's record") from error
