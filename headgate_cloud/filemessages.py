"""The pure middle of files: what gateways say on `up/file`, what is answered on `dn/file`."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from headgate_cloud.strict import Undecodable, array, choice, fields, integer, mapping, parse, string

# Amazon S3 user guide, "Amazon S3 multipart upload limits".
MIN_PART_BYTES: Final = 5 * 1024**2
MAX_PART_BYTES: Final = 5 * 1024**3
MAX_PARTS: Final = 10_000
# What nucleus lite takes down (docs/requests.md, Topics).
MAX_DOWN_BYTES: Final = 4_500
MAX_PAGES: Final = 1_000
MAX_NAME: Final = 200  # of the 1,024 B of an S3 key

_THING: Final = re.compile(r"[A-Za-z0-9:_-]{1,128}")  # AWS IoT CreateThing, thingName
_FILE_ID: Final = re.compile(r"[0-9a-f]{32}")
_SHA256: Final = re.compile(r"[A-Za-z0-9+/]{43}=")
_COMPOSITE: Final = re.compile(r"[A-Za-z0-9+/]{43}=-[1-9][0-9]{0,4}")
_UPLOAD_ID: Final = re.compile(r"[\x21-\x7e]{1,1024}")
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9._-]")


@dataclass(frozen=True, slots=True)
class Plan:
    """What all pages of one request agree on; `sha256` is S3's composite, `base64-N`."""

    thing: str
    file_id: str
    size_bytes: int
    part_size_bytes: int
    sha256: str

    @property
    def parts(self) -> int:
        return _count(self.size_bytes, self.part_size_bytes)

    @property
    def pages_key(self) -> str:
        """Where its pages are collected: those of another plan never mix in."""
        return f"{self.thing}/{self.file_id}/{self.size_bytes}/{self.part_size_bytes}/{self.sha256}"

    def bytes_of(self, number: int) -> int:
        """The size of part `number`, from 1."""
        done = (number - 1) * self.part_size_bytes
        return min(self.part_size_bytes, self.size_bytes - done)


@dataclass(frozen=True, slots=True)
class Page:
    """A `parts` message: some of the parts' checksums, by number."""

    plan: Plan
    page: int
    parts: Mapping[int, str]


@dataclass(frozen=True, slots=True)
class Sent:
    """A `sent` message: the gateway believes that all parts are there."""

    thing: str
    file_id: str
    upload_id: str


@dataclass(frozen=True, slots=True)
class Bad:
    """What is neither; `file_id` is there where an answer can name it."""

    thing: str
    file_id: str
    why: str


class Mismatch(Exception):
    """What was announced contradicts itself, or what is held; the text says how."""


def read(message: str) -> Page | Sent | Bad:
    """One queued message: the object that the rule's SQL selects, as JSON."""
    try:
        found = json.loads(message)
        thing, body = str(found["thing"]), base64.b64decode(found["body"], validate=True)
    except (ValueError, KeyError, TypeError) as error:
        return Bad("", "", f"not what the rule selects: {type(error).__name__} {error}")
    if not _THING.fullmatch(thing):
        return Bad("", "", f"{thing[:140]!r} cannot be a thing's name ({_THING.pattern})")
    file_id = ""
    try:
        whole = mapping(parse(body), "$")
        file_id = string(whole.get("file_id"), "$.file_id", _FILE_ID)
        integer(whole.get("v"), "$.v", (1, 1))
        if choice(whole.get("kind"), "$.kind", ("parts", "sent")) == "sent":
            fields(whole, "$", ("v", "kind", "file_id", "upload_id"))
            return Sent(thing, file_id, string(whole["upload_id"], "$.upload_id", _UPLOAD_ID))
        return _page(thing, file_id, whole)
    except Undecodable as error:
        return Bad(thing, file_id, str(error))


def _page(thing: str, file_id: str, whole: dict[str, object]) -> Page:
    names = ("size", "part_size", "sha256", "page", "pages", "parts")
    fields(whole, "$", ("v", "kind", "file_id", *names))
    size_bytes = integer(whole["size"], "$.size", (0, MAX_PART_BYTES * MAX_PARTS))
    part_size_bytes = integer(whole["part_size"], "$.part_size", (1, MAX_PART_BYTES))
    if size_bytes > part_size_bytes < MIN_PART_BYTES:
        raise Undecodable("$.part_size", f"of several parts all but the last have {MIN_PART_BYTES} B or more")
    plan = Plan(thing, file_id, size_bytes, part_size_bytes, string(whole["sha256"], "$.sha256", _COMPOSITE))
    if plan.parts > MAX_PARTS:
        raise Undecodable("$.part_size", f"{plan.parts} parts are more than {MAX_PARTS}")
    if not plan.sha256.endswith(f"-{plan.parts}"):
        raise Undecodable("$.sha256", f"is not the composite of {plan.parts} parts")
    pages = integer(whole["pages"], "$.pages", (1, MAX_PAGES))
    page = integer(whole["page"], "$.page", (0, pages))
    parts: dict[int, str] = {}
    for i, pair in enumerate(array(whole["parts"], "$.parts")):
        path = f"$.parts[{i}]"
        found = array(pair, path)
        if len(found) != 2:
            raise Undecodable(path, "a part is [number, sha256]")
        number = integer(found[0], f"{path}[0]", (1, plan.parts))
        if number in parts:
            raise Undecodable(f"{path}[0]", f"part {number} is there twice")
        parts[number] = string(found[1], f"{path}[1]", _SHA256)
    return Page(plan, page, parts)


def _count(size_bytes: int, part_size_bytes: int) -> int:
    return max(1, -(-size_bytes // part_size_bytes))  # an empty file is one empty part


def assemble(plan: Plan, pages: Iterable[Mapping[int, str]]) -> tuple[str, ...] | None:
    """The parts' checksums in order, or None while some are missing; raises Mismatch."""
    found: dict[int, str] = {}
    for page in pages:
        for number, checksum in page.items():
            if found.setdefault(number, checksum) != checksum:
                raise Mismatch(f"part {number} was announced with two checksums")
    if len(found) < plan.parts:
        return None
    checksums = tuple(found[number] for number in range(1, plan.parts + 1))
    if composite(checksums) != plan.sha256:
        raise Mismatch(f"the parts' composite is {composite(checksums)}, announced was {plan.sha256}")
    return checksums


def composite(checksums: Sequence[str]) -> str:
    """S3's SHA-256 of a multipart object: of the parts' digests, with `-N` behind it."""
    digests = b"".join(base64.b64decode(checksum) for checksum in checksums)
    return f"{base64.b64encode(hashlib.sha256(digests).digest()).decode()}-{len(checksums)}"


def object_key(thing: str, file_id: str, path: str) -> str:
    """Where a file's object lies: under its thing alone, whatever the gateway calls the file."""
    name = _UNSAFE.sub("_", re.split(r"[/\\]", path)[-1])[-MAX_NAME:]
    return f"{thing}/{file_id}/{name if name.strip('.') else 'file'}"


def urls(file_id: str, upload_id: str, list_url: str) -> bytes:
    """Raises ValueError where it would not reach a gateway."""
    return _down("urls", file_id, upload_id=upload_id, list=list_url)


def confirmed(file_id: str, upload_id: str, key: str, sha256: str) -> bytes:
    return _down("confirmed", file_id, upload_id=upload_id, key=key, sha256=sha256)


def refused(file_id: str, code: str, detail: str) -> bytes:
    return _down("refused", file_id, code=code, detail=detail[:1_000])


def _down(kind: str, file_id: str, **more: str) -> bytes:
    body = json.dumps({"v": 1, "kind": kind, "file_id": file_id, **more}, separators=(",", ":")).encode()
    if len(body) > MAX_DOWN_BYTES:
        raise ValueError(f"a {kind} message of {len(body)} B does not fit {MAX_DOWN_BYTES} B")
    return body
