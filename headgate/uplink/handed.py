"""Modes without an ingest: what the nucleus took counts as held by the cloud, and what that cannot promise.

The nucleus may lose what it took: classic's spooler drops the oldest when it is full and is empty after a
restart (unless it is on disk), and nobody notices.
"""

from __future__ import annotations

import json
from collections import OrderedDict

from headgate.envelope import header
from headgate.model import Ack, Envelope, EnvelopeId
from headgate.uplink.acks import MAX_EPOCHS
from headgate.uplink.config import Mode
from headgate.uplink.prices import BASIC_INGEST

WARNINGS: dict[Mode, str] = {
    "handed_over": (
        "uplink mode handed_over: an envelope is done with when the nucleus took it. What the nucleus loses "
        "(spooler full, restart, broker down), or a rule or queue in the cloud drops, is lost unnoticed; it "
        "stays in this gateway's history only"
    ),
    "plain": (
        "uplink mode plain: one message per reading and nothing acknowledged. What the nucleus or the cloud "
        "loses is lost unnoticed, nothing is sent again, windows are not sent, and each reading is "
        "metered as a whole message"
    ),
}


class HandedOver:
    """Which envelopes the nucleus took, as acknowledgements."""

    def __init__(self) -> None:
        self._ranges: OrderedDict[tuple[str, int], list[tuple[int, int]]] = OrderedDict()

    def note(self, key: EnvelopeId) -> Ack:
        """Take in one envelope; returns all that is known of its stream and epoch."""
        name = (key.stream, key.epoch)
        ranges = self._ranges.setdefault(name, [])
        ranges[:] = _joined([*ranges, (key.seq, key.seq)])
        self._ranges.move_to_end(name)
        while len(self._ranges) > MAX_EPOCHS:
            self._ranges.popitem(last=False)
        return Ack(key.stream, key.epoch, 0, tuple(ranges))


def topic_of(thing: str, envelope: Envelope, mode: Mode) -> str:
    """Where an envelope goes. Without an ingest rule a Basic Ingest topic leads nowhere: plain avoids it."""
    if envelope.id.stream == "plain":
        return f"hg/v1/{thing}/up/plain/{json.loads(envelope.body)['series']}"
    topic = header.topic(thing, envelope.id.stream, envelope.schema)
    if mode == "plain" and topic.startswith(BASIC_INGEST):
        return topic.removeprefix(BASIC_INGEST).partition("/")[2]
    return topic


def _joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return found
