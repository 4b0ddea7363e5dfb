"""Small envelopes, and the queued messages that carry them."""

from __future__ import annotations

import base64
import json

EPOCH = "8c0f3a5b77d01e42"


def report(seq: int, **changes: object) -> bytes:
    prev = {"prev": None} if seq == 1 else {}
    head = {"v": 1, "kind": "report", "stream": "live", "epoch": EPOCH, "seq": seq, "clock": "synced", **prev}
    return json.dumps({**head, "report": {"type": "started"}, **changes}).encode()


def message(payload: bytes, **changes: object) -> str:
    fields = {"body": base64.b64encode(payload).decode(), "thing": "gw-1", "stream": "live", "codec": "json"}
    found = {**fields, "received_ms": 1763685600000, **changes}
    return json.dumps({"client": found["thing"], **found})
