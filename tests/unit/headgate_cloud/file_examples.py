"""Small files in small parts, and the queued messages that ask for them."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence

FILE_ID = "0123456789abcdef" * 2
PART_BYTES = 5 * 1024**2


def checksum(number: int) -> str:
    """Of a part that exists by name only."""
    return base64.b64encode(hashlib.sha256(str(number).encode()).digest()).decode()


def whole(checksums: Sequence[str]) -> str:
    joined = b"".join(base64.b64decode(found) for found in checksums)
    return f"{base64.b64encode(hashlib.sha256(joined).digest()).decode()}-{len(checksums)}"


def queued(body: object, thing: str = "gw-1") -> str:
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    return json.dumps({"body": base64.b64encode(text).decode(), "thing": thing, "received_ms": 1})


def page(number: int, layout: Sequence[Sequence[int]], /, **changes: object) -> dict[str, object]:
    """Page `number` of a file of as many parts as `layout` names."""
    count = sum(map(len, layout))
    return {
        "v": 1,
        "kind": "parts",
        "file_id": FILE_ID,
        "size": (count - 1) * PART_BYTES + 7,
        "part_size": PART_BYTES,
        "sha256": whole([checksum(n) for n in range(1, count + 1)]),
        "page": number,
        "pages": len(layout),
        "parts": [[n, checksum(n)] for n in layout[number]],
        **changes,
    }


def sent(upload_id: str) -> dict[str, object]:
    return {"v": 1, "kind": "sent", "file_id": FILE_ID, "upload_id": upload_id}
