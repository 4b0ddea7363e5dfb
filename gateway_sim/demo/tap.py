"""Reads the nucleus's record of local messages: which batches are published and not yet acknowledged."""

from __future__ import annotations

import json
import struct
from pathlib import Path

TAIL_BYTES = 400_000
"""Enough of the record's end for several commit intervals."""
BATCH, ACK = "hg/v1/local/batch/", "hg/v1/local/ack/"
_KEY = struct.Struct("<3sBQQ")
"""The start of a batch: `HGB`, version, run_id, seq (docs/wire.md)."""


def unacknowledged(tap: Path) -> int:
    """How many batches of each bridge's newest run were published and not acknowledged, in all."""
    with tap.open("rb") as file:
        size = file.seek(0, 2)
        file.seek(max(0, size - TAIL_BYTES))
        lines = file.read().split(b"\n")[1 if size > TAIL_BYTES else 0 : -1]
    sent: dict[str, tuple[int, int]] = {}
    acknowledged: dict[tuple[str, int], int] = {}
    for line in lines:
        entry = json.loads(line)
        topic, head = entry["topic"], bytes.fromhex(entry["head"])
        if topic.startswith(BATCH):
            _, _, run, seq = _KEY.unpack(head[: _KEY.size])
            sent[topic[len(BATCH) :]] = (run, seq)
        elif topic.startswith(ACK):
            ack = json.loads(head)
            acknowledged[topic[len(ACK) :], int(ack["run_id"], 16)] = int(ack["up_to"])
    # A bridge whose newest run has no acknowledgement in the tail has had none yet.
    return sum(max(0, seq - acknowledged.get((bridge, run), 0)) for bridge, (run, seq) in sent.items())
