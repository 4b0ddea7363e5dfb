"""Requests and replies as JSON (docs/requests.md): read strictly, every fault told at once, and spelled."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from headgate.config.reader import Problems, describe, unknown_keys
from headgate.driver import Refused, Reply, Request

Carrier = Literal["job", "direct"]
Status = Literal["ok", "refused", "failed", "expired"]
STATUSES: tuple[Status, ...] = get_args(Status)

VERSION = 1
MAX_DIRECT_BYTES = 4_500
"""Of a request on a direct topic; nucleus lite receives packets of about 5,000 B (measured)."""
MAX_JOB_BYTES = 32_768
"""Of a job document (AWS IoT Device Management quotas)."""
MAX_ARGS_BYTES = 1024 * 1024
"""Of arguments that are fetched from `args_uri`."""
MAX_LOOK_BYTES = 128 * 1024
"""Of a payload that is read at all, to answer it by its id; AWS IoT Core carries no larger one."""
MAX_REPLY_BYTES = 7_000
"""Of a reply on the way up; nucleus lite publishes at most 7,202 B (measured)."""
MAX_DEPTH = 12
MAX_DETAIL = 1_000
MAX_SAID = 80
"""Characters of somebody else's text that errors repeat."""

_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_WORD = re.compile(r"[a-z][a-z0-9_]{0,31}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FILE_ID = re.compile(r"[0-9a-f]{32}")
_KEYS = ("v", "id", "op", "args", "args_uri", "args_sha256", "deadline_ms")
_REPLY_KEYS = ("v", "id", "status", "code", "detail", "result", "file_id")
_MAX_MS = 1 << 53


class Unreadable(Refused):
    """No request. `id` and `op` are what could be read of it, `id` empty where nobody can be answered."""

    def __init__(self, request_id: str, op: str, error: Refused) -> None:
        super().__init__(error.code, error.args[0])
        self.problems = error.problems
        self.id = request_id
        self.op = op


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as it came. `digest` tells contents apart; `args_uri` is where its args are, unless empty."""

    request: Request
    digest: str
    args_uri: str = ""
    args_sha256: str = ""

    def with_args(self, args: Mapping[str, Any]) -> Request:
        """The request with the arguments that were fetched."""
        return replace(self.request, args=args)


def parse_direct(payload: bytes) -> Asked:
    """Read a direct request. Raises Unreadable with every fault."""
    document = _document(payload, MAX_DIRECT_BYTES)
    return _asked(document, "direct")


def parse_job(job_id: str, document: Mapping[str, Any], size_bytes: int) -> Asked:
    """Read a job document's `headgate` part; the id is the job's. Raises Unreadable with every fault."""
    if size_bytes > MAX_JOB_BYTES:
        raise Unreadable(job_id, "", _too_large(size_bytes, MAX_JOB_BYTES))
    inner = document.get("headgate")
    if not isinstance(inner, Mapping):
        fault = Refused("bad_request", f"headgate: expected a mapping, found {describe(inner)}")
        raise Unreadable(job_id, "", fault)
    if "id" in inner:
        raise Unreadable(job_id, "", Refused("bad_request", "headgate.id: unknown key (the id is the job's)"))
    return _asked({**inner, "id": job_id}, "job")


def parse_args(data: bytes, source: str) -> Mapping[str, Any]:
    """Arguments that were fetched. Raises Refused."""
    args = load_strictly(data, source)
    if not isinstance(args, Mapping):
        raise Refused("bad_request", f"{source}: expected a mapping of arguments, found {describe(args)}")
    return args


def parse_reply(payload: bytes) -> Reply:
    """Read the reply of a bridge or the courier. Raises Refused with every fault."""
    document = load_strictly(payload, "reply")
    problems = Problems("reply")
    if not isinstance(document, Mapping):
        raise Refused("bad_request", f"reply: expected a mapping, found {describe(document)}")
    get = _getter(document, problems)
    get("v", int, lambda v: v == VERSION, f"must be {VERSION}")
    reply = Reply(
        get("id", str, _ID.fullmatch, "[A-Za-z0-9_-]{1,64}"),
        get("status", str, STATUSES.__contains__, ", ".join(STATUSES)),
        get("code", str, _WORD.fullmatch, "a word"),
        get("detail", str, None, "text") if "detail" in document else "",
        get("result", Mapping, None, "a mapping") if document.get("result") is not None else None,
        get("file_id", str, _FILE_ID.fullmatch, "32 hex") if document.get("file_id") is not None else None,
    )
    unknown_keys(document, _REPLY_KEYS, "", problems)
    _refuse_if_any(problems)
    return reply


def reply_json(reply: Reply) -> dict[str, Any]:
    """A reply as `schemas/reply.v1.json` has it."""
    return {
        "v": VERSION,
        "id": reply.id,
        "status": reply.status,
        "code": reply.code or reply.status,
        "detail": reply.detail[:MAX_DETAIL],
        "result": reply.result,
        "file_id": reply.file_id,
    }


def request_json(request: Request) -> dict[str, Any]:
    """A request as `schemas/request.v1.json` has it; its carrier is not said."""
    return {
        "v": request.version,
        "id": request.id,
        "op": request.op,
        "args": request.args,
        "deadline_ms": request.deadline_ms,
    }


def spelled(document: object) -> bytes:
    """Compact JSON."""
    return json.dumps(document, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def load_strictly(data: bytes, source: str) -> object:
    """What JSON says. Raises Refused for what is none, says a key twice, or is nested too deep."""
    try:
        document: object = json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
        spelled(document)  # a lone surrogate and a number past every double cannot be written again
    except (ValueError, RecursionError) as error:
        raise Refused("bad_request", f"{source}: not the JSON of one: {error}"[:MAX_DETAIL]) from error
    if _depth(document) > MAX_DEPTH:
        raise Refused("bad_request", f"{source}: nested deeper than {MAX_DEPTH}")
    return document


def short(text: object) -> str:
    """Somebody else's text as errors repeat it."""
    words = str(text)
    return words if len(words) <= MAX_SAID else words[: MAX_SAID - 3] + "..."


def _document(payload: bytes, limit_bytes: int) -> Mapping[str, Any]:
    if len(payload) > MAX_LOOK_BYTES:
        raise Unreadable("", "", _too_large(len(payload), limit_bytes))
    try:
        document = load_strictly(payload, "request")
        if not isinstance(document, Mapping):
            raise Refused("bad_request", f"request: expected a mapping, found {describe(document)}")
    except Refused as error:
        raise Unreadable("", "", error) from None
    if len(payload) > limit_bytes:
        raise Unreadable(*_known(document), _too_large(len(payload), limit_bytes))
    return document


def _asked(document: Mapping[str, Any], carrier: Carrier) -> Asked:
    problems = Problems("request")
    get = _getter(document, problems)
    request = Request(
        id=get("id", str, _ID.fullmatch, "1 to 64 of A-Z a-z 0-9 _ -"),
        version=get("v", int, lambda v: v == VERSION, f"this gateway reads version {VERSION}"),
        op=get("op", str, _WORD.fullmatch, "a word"),
        args=get("args", Mapping, None, "a mapping") if "args" in document else {},
        deadline_ms=get("deadline_ms", int, lambda ms: 0 <= ms < _MAX_MS, "UTC ms"),
        carrier=carrier,
    )
    uri, sha256 = "", ""
    if "args" not in document:
        if "args_uri" in document or "args_sha256" in document:
            uri = get("args_uri", str, lambda text: 0 < len(text) <= 4_096, "an https URL")
            sha256 = get("args_sha256", str, _SHA256.fullmatch, "64 hex digits")
        else:
            problems.add("args", "is missing", "args, or args_uri and args_sha256")
    else:
        for key in ("args_uri", "args_sha256"):
            if key in document:
                problems.add(key, "stands beside args", "keep one of the two")
    unknown_keys(document, _KEYS, "", problems)
    try:
        _refuse_if_any(problems)
    except Refused as error:
        raise Unreadable(*_known(document), error) from None
    # Not the URL: the same arguments may be signed anew with each delivery.
    content = {**request_json(request), "args_sha256": sha256}
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    return Asked(request, digest, uri, sha256)


Check = Callable[[Any], object]


def _getter(document: Mapping[str, Any], problems: Problems) -> Callable[[str, type, Check | None, str], Any]:
    """Takes a required value of a type that passes a check; a fault is noted and a stand-in returned."""

    def get(key: str, kind: type, check: Check | None, hint: str) -> Any:
        value = document.get(key)
        if key not in document:
            problems.add(key, "is missing", hint)
        elif not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            problems.add(key, f"found {short(describe(value))}", hint)
        elif check is not None and not check(value):
            problems.add(key, f"{short(repr(value))} is not allowed here", hint)
        else:
            return value
        return {} if kind is Mapping else kind()

    return get


def _known(document: Mapping[str, Any]) -> tuple[str, str]:
    """Id and op as far as they can be believed."""
    found = document.get("id"), document.get("op")
    return (
        found[0] if isinstance(found[0], str) and _ID.fullmatch(found[0]) else "",
        short(found[1]) if isinstance(found[1], str) else "",
    )


def _refuse_if_any(problems: Problems) -> None:
    if problems.found:
        text = "; ".join(map(str, problems.found))
        raise Refused("bad_request", f"{problems.source}: {text}"[:MAX_DETAIL])


def _too_large(size_bytes: int, limit_bytes: int) -> Refused:
    hint = "put the arguments at args_uri"
    return Refused("bad_request", f"the request has {size_bytes} B, at most {limit_bytes} fit: {hint}")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError("a key is there twice")
    return values


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def _depth(value: object) -> int:
    level: list[object] = [value]
    depth = 0
    while level and depth <= MAX_DEPTH:
        depth += 1
        inner: list[object] = []
        for item in level:
            if isinstance(item, Mapping):
                inner += item.values()
            elif isinstance(item, list):
                inner += item
        level = inner
    return depth
