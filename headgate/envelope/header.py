"""The plain header that every envelope starts with, and how much room it leaves."""

from __future__ import annotations

from dataclasses import dataclass

from headgate.model import ClockState, EnvelopeId

SCHEMA = 1
LIMIT_BYTES = 5_120
"""Payload and topic of one envelope: AWS IoT Core meters messages in steps of 5 KB (pricing page)."""
HEADER_MAX_BYTES = 240
"""More than any header: all fields with seqs of 16 digits, `prev` included, and the closing brace."""


@dataclass(frozen=True, slots=True)
class Part:
    """The body of one envelope, not sealed yet: `text` is what follows the header, closing brace included."""

    kind: str
    clock: ClockState
    text: str
    samples: int


def topic(thing: str, stream: str) -> str:
    """Where an envelope is published, through Basic Ingest."""
    return f"$aws/rules/hg_ingest_v1/hg/v1/{thing}/up/{stream}/json"


def room_bytes(thing: str) -> int:
    """How long a part's text may be for the envelope to keep LIMIT_BYTES in any stream."""
    return LIMIT_BYTES - len(topic(thing, "backlog").encode()) - HEADER_MAX_BYTES


def seal(part: Part, key: EnvelopeId, previous: tuple[int, int] | None) -> bytes:
    """The envelope's bytes. `previous` is the epoch before and its last seq; it travels with seq 1 only.

    Of kind plain the text is the whole message (headgate/envelope/plain.py).
    """
    if part.kind == "plain":
        return part.text.encode()
    before = ""
    if key.seq == 1:
        before = '"prev":null,'
        if previous is not None:
            before = f'"prev":{{"epoch":"{previous[0]:016x}","seq":{previous[1]}}},'
    return (
        f'{{"v":{SCHEMA},"kind":"{part.kind}","stream":"{key.stream}","epoch":"{key.epoch:016x}",'
        f'"seq":{key.seq},{before}"clock":"{part.clock.name.lower()}",{part.text}'
    ).encode()
