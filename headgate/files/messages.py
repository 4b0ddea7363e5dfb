"""File messages (docs/requests.md, "Files"): what is said on `up/file`, what is heard on `dn/file`. Pure."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headgate.errors import Reject
from headgate.files.plan import MAX_PARTS, Plan

VERSION = 1
MAX_DOWN_BYTES = 128 * 1024
"""What AWS IoT Core carries at all; file messages are far smaller."""

_FILE_ID = re.compile(r"[0-9a-f]{32}")
_SHORT = 1_024
_URL = 8_192


@dataclass(frozen=True, slots=True)
class Urls:
    """Where the list of URLs of an upload is."""

    file_id: str
    upload_id: str
    list_url: str


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The file is in the cloud, complete and checked."""

    file_id: str
    upload_id: str
    key: str
    sha256: str


@dataclass(frozen=True, slots=True)
class CloudRefused:
    """The cloud does not do what was asked; `code` says why."""

    file_id: str
    code: str
    detail: str


Down = Urls | Confirmed | CloudRefused


@dataclass(frozen=True, slots=True)
class UrlList:
    """The list itself: URLs of parts that are missing, and numbers of those that S3 holds."""

    upload_id: str
    done: frozenset[int]
    urls: Mapping[int, str]


def parts(plan: Plan) -> list[bytes]:
    """The question for URLs, in as many messages as it needs."""
    pages = list(plan.pages())
    return [
        _spelled(
            "parts",
            plan.file_id,
            size=plan.size_bytes,
            part_size=plan.part_bytes,
            sha256=plan.sha256,
            page=number,
            pages=len(pages),
            parts=page,
        )
        for number, page in enumerate(pages)
    ]


def sent(file_id: str, upload_id: str) -> bytes:
    """All parts are there."""
    return _spelled("sent", file_id, upload_id=upload_id)


def parse_down(payload: bytes) -> Down:
    """Read a message from the cloud. Raises Reject."""
    if len(payload) > MAX_DOWN_BYTES:
        raise Reject(f"a file message of {len(payload)} B is too large")
    found = _mapping(payload, "file message")
    file_id = found.get("file_id")
    if found.get("v") != VERSION or not isinstance(file_id, str) or not _FILE_ID.fullmatch(file_id):
        raise Reject(f"no file message of version {VERSION}: {payload[:80]!r}")
    match found.get("kind"):
        case "urls":
            return Urls(file_id, _text(found, "upload_id", _SHORT), _text(found, "list", _URL))
        case "confirmed":
            texts = [_text(found, key, _SHORT) for key in ("upload_id", "key", "sha256")]
            return Confirmed(file_id, *texts)
        case "refused":
            detail = found.get("detail")
            return CloudRefused(
                file_id, _text(found, "code", 64), detail[:_SHORT] if isinstance(detail, str) else ""
            )
    raise Reject(f"a file message of unknown kind: {payload[:80]!r}")


def parse_list(data: bytes) -> UrlList:
    """Read a list of URLs. Raises Reject."""
    found = _mapping(data, "list of URLs")
    done, urls = found.get("done"), found.get("urls")
    if not isinstance(done, list) or not all(_is_number(n) for n in done):
        raise Reject("list of URLs: done is no list of part numbers")
    if not isinstance(urls, dict):
        raise Reject("list of URLs: urls is no mapping")
    by_number = {}
    for key, url in urls.items():
        if not (key.isdecimal() and key.isascii() and len(key) <= 5 and _is_number(int(key))):
            raise Reject(f"list of URLs: {key[:20]!r} is no part number")
        if not isinstance(url, str) or len(url) > _URL:
            raise Reject(f"list of URLs: part {key} has no URL")
        by_number[int(key)] = url
    return UrlList(_text(found, "upload_id", _SHORT), frozenset(done), by_number)


def _spelled(kind: str, file_id: str, **more: object) -> bytes:
    return json.dumps(
        {"v": VERSION, "kind": kind, "file_id": file_id, **more}, separators=(",", ":")
    ).encode()


def _mapping(data: bytes, what: str) -> dict[str, Any]:
    try:
        found = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Reject(f"{what}: no JSON: {data[:80]!r}") from error
    if not isinstance(found, dict):
        raise Reject(f"{what}: no mapping: {data[:80]!r}")
    return found


def _text(found: Mapping[str, Any], key: str, longest: int) -> str:
    value = found.get(key)
    if not isinstance(value, str) or not 0 < len(value) <= longest:
        raise Reject(f"{found.get('kind', 'list of URLs')}: {key} is no text of 1 to {longest} characters")
    return value


def _is_number(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= MAX_PARTS
