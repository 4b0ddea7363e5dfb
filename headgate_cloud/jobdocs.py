"""What the cloud asks gateways, as bytes: job documents and direct requests (docs/requests.md)."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Final

VERSION: Final = 1
MAX_DOCUMENT_BYTES: Final = 32_768  # AWS IoT Device Management quotas, job document
MAX_REQUEST_BYTES: Final = 4_500  # docs/requests.md; nucleus lite takes packets of about 5,000 B

_ID: Final = re.compile(r"[A-Za-z0-9_-]{1,64}")


class TooLarge(ValueError):
    """The arguments do not fit the carrier; the text says what does."""


def job_document(op: str, args: Mapping[str, object], *, deadline_ms: int) -> str:
    """The document of a job; the request's id is the job's. Raises TooLarge."""
    text = _spelled({"headgate": {"v": VERSION, "op": op, "args": args, "deadline_ms": deadline_ms}})
    if len(text.encode()) > MAX_DOCUMENT_BYTES:
        raise TooLarge(f"the job document has {len(text.encode())} B, at most {MAX_DOCUMENT_BYTES} fit")
    return text


def direct_request(request_id: str, op: str, args: Mapping[str, object], *, deadline_ms: int) -> bytes:
    """A request for `hg/v1/{thing}/dn/req/{read|write}`. Raises TooLarge, or ValueError for a bad id."""
    if not _ID.fullmatch(request_id):
        raise ValueError(f"{request_id[:80]!r} is no request id: 1 to 64 of A-Z a-z 0-9 _ -")
    request = {"v": VERSION, "id": request_id, "op": op, "args": args, "deadline_ms": deadline_ms}
    body = _spelled(request).encode()
    if len(body) > MAX_REQUEST_BYTES:
        raise TooLarge(
            f"the request has {len(body)} B, at most {MAX_REQUEST_BYTES} fit a direct one; a job takes more"
        )
    return body


def _spelled(document: object) -> str:
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
