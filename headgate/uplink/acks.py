"""Acknowledgements as they come down: the cloud says what it holds durably."""

from __future__ import annotations

import json
import re
from dataclasses import replace

from headgate.errors import Reject
from headgate.model import Ack, EnvelopeId

VERSIONS = (1, 2)
"""2: of several streams in one message."""
MAX_ACKS = 32
MAX_RANGES = 32
STREAMS = ("live", "backlog", "alarms", "reports", "health")
MAX_EPOCHS = 64
MAX_KNOWN_RANGES = 1_024
MAX_FORKED_CHARACTERS = 500

_EPOCH = re.compile(r"[0-9a-f]{16}")
_SCHEMA = _EPOCH
MAX_WANTED = 32


def parse_acks(payload: bytes) -> list[Ack]:
    """What a message acknowledges (docs/wire.md), whole. Raises Reject that says what is wrong with it."""
    try:
        found = json.loads(payload)
    except (ValueError, RecursionError) as error:
        raise Reject(f"acknowledgement is no JSON: {error}") from error
    match found:
        case {"v": int(version)} if version not in VERSIONS:
            known = " and ".join(map(str, VERSIONS))
            raise Reject(f"acknowledgement of version {version}; this hub reads {known}: update headgate.Hub")
        case {"v": 1}:
            return [_parsed(found, payload)]
        case {"v": 2, "acks": list(acks)} if 0 < len(acks) <= MAX_ACKS:
            return [_parsed(ack, payload) for ack in acks]
    raise Reject(f"not an acknowledgement: {payload[:120]!r}")


def _parsed(found: object, payload: bytes) -> Ack:
    match found:
        case {"stream": str(stream), "epoch": str(epoch), "up_to": int(up_to)}:
            assert isinstance(found, dict)  # what else the pattern takes, json does not make
            received, forked = found.get("received", []), str(found.get("forked", ""))
        case _:
            raise Reject(f"not an acknowledgement: {payload[:120]!r}")
    if stream not in STREAMS or not _EPOCH.fullmatch(epoch) or isinstance(up_to, bool) or up_to < 0:
        raise Reject(f"acknowledgement with a wrong stream, epoch or up_to: {payload[:120]!r}")
    return Ack(
        stream,
        int(epoch, 16),
        up_to,
        _ranges(received),
        _wanted(found.get("want", [])),
        forked[:MAX_FORKED_CHARACTERS],
    )


class AckBook:
    """All that the cloud has said it holds, per stream and epoch.

    Acknowledgements come in any order, and one names 32 ranges at most: what an earlier one named and a later
    one does not is held all the same.
    """

    def __init__(self) -> None:
        self._acks: dict[tuple[str, int], Ack] = {}

    def note(self, ack: Ack) -> Ack:
        """Take in an acknowledgement; returns all that is known of its epoch."""
        key = (ack.stream, ack.epoch)
        known = self._acks.pop(key, None)
        merged = replace(ack if known is None else merge(known, ack), want=())  # asked once, held for good
        self._acks[key] = merged
        if len(self._acks) > MAX_EPOCHS:
            self._acks.pop(next(iter(self._acks)))
        return merged

    def covers(self, key: EnvelopeId) -> bool:
        """Whether the cloud is known to hold that envelope."""
        ack = self._acks.get((key.stream, key.epoch))
        return ack is not None and covers(ack, key)


def merge(one: Ack, other: Ack) -> Ack:
    """What either of two acknowledgements of one epoch names, as far as MAX_KNOWN_RANGES go."""
    up_to = max(one.up_to, other.up_to)
    ranges: list[tuple[int, int]] = []
    for first, last in sorted([*one.received, *other.received]):
        if first <= up_to + 1:
            up_to = max(up_to, last)
        elif ranges and first <= ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], max(ranges[-1][1], last))
        else:
            ranges.append((first, last))
    want = tuple(dict.fromkeys((*one.want, *other.want)))[:MAX_WANTED]
    known = tuple(ranges[:MAX_KNOWN_RANGES])
    return Ack(one.stream, one.epoch, up_to, known, want, other.forked or one.forked)


def covers(ack: Ack, key: EnvelopeId) -> bool:
    """Whether one acknowledgement names that envelope."""
    if (ack.stream, ack.epoch) != (key.stream, key.epoch):
        return False
    return key.seq <= ack.up_to or any(first <= key.seq <= last for first, last in ack.received)


def _wanted(want: object) -> tuple[str, ...]:
    if not isinstance(want, list) or len(want) > MAX_WANTED:
        raise Reject(f"acknowledgement: want is no list of at most {MAX_WANTED} ids of schemas")
    for item in want:
        if not (isinstance(item, str) and _SCHEMA.fullmatch(item)):
            raise Reject(f"acknowledgement: {item!r} is no id of a schema, 16 hex digits")
    return tuple(want)


def _ranges(received: object) -> tuple[tuple[int, int], ...]:
    if not isinstance(received, list) or len(received) > MAX_RANGES:
        raise Reject(f"acknowledgement: received is no list of at most {MAX_RANGES} ranges")
    ranges = []
    for item in received:
        match item:
            case [int(first), int(last)] if 0 < first <= last < 1 << 63:
                ranges.append((first, last))
            case _:
                raise Reject(f"acknowledgement: {item!r} is no range [first, last]")
    return tuple(ranges)
