"""A `read` taken apart for the bridges and put together again: pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from headgate.driver import Refused, Reply
from headgate.model import NAME_PART
from headgate.requests.model import MAX_DETAIL, short

KINDS = ("series", "registers", "characteristics")
RESULTS = {"series": "values", "registers": "registers", "characteristics": "characteristics"}
"""Under which key of the result each kind of argument is answered."""
MAX_ITEMS = 5_000
"""Of one read. Results of it go as a file."""
PART_BYTES = 5_500
"""What a bridge's reply to one part may come to, as estimated; it has 7,238 B on nucleus lite."""
MAX_COUNT = 2_000
"""Bits of one Modbus read (Modbus Application Protocol V1.1b3, 6.1); of registers the bridge takes less."""
MAX_ATTRIBUTE_HEX = 1_024
"""Hex digits of an attribute: 512 B (Bluetooth Core, ATT)."""

SourceOf = Callable[[str], str | None]
Item = str | Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Part:
    """What one bridge is asked at once."""

    source: str
    args: Mapping[str, Sequence[Item]]


def plan_read(args: Mapping[str, Any], source_of: SourceOf) -> list[Part]:
    """The questions for the bridges. Raises Refused: not as docs/requests.md says, or an unknown device."""
    unknown = [key for key in args if key not in KINDS]
    if unknown:
        raise Refused(
            "bad_request", f"read: unknown argument {short(unknown[0])!r}; known are {', '.join(KINDS)}"
        )
    asked: dict[str, list[tuple[str, Item]]] = {}
    for kind in KINDS:
        for item in _items(args, kind):
            device = _device(kind, item)
            source = source_of(device)
            if source is None:
                raise Refused("unknown_device", f"read: no device {device!r} on this gateway")
            asked.setdefault(source, []).append((kind, item))
    count = sum(map(len, asked.values()))
    if not 0 < count <= MAX_ITEMS:
        raise Refused("bad_request", f"read: {count} things are asked for, 1 to {MAX_ITEMS} may be")
    return [part for source, items in asked.items() for part in _parts(source, items)]


def merge_read(request_id: str, parts: Sequence[tuple[Part, Reply]]) -> Reply:
    """One reply from the bridges'. What a part could not bring has `error`; all failed alike is a failure."""
    if all(reply.status != "ok" for _, reply in parts):
        worst = parts[0][1]
        return Reply(request_id, worst.status, worst.code, worst.detail[:MAX_DETAIL])
    result: dict[str, list[Any]] = {}
    for part, reply in parts:
        for kind, items in part.args.items():
            found = (reply.result or {}).get(RESULTS[kind]) if reply.status == "ok" else None
            if isinstance(found, list):
                result.setdefault(RESULTS[kind], []).extend(found)
            else:
                why = f"{reply.code or reply.status}: {reply.detail}"[:MAX_DETAIL]
                result.setdefault(RESULTS[kind], []).extend(_failed(item, why) for item in items)
    return Reply(request_id, "ok", "ok", result=result)


def _items(args: Mapping[str, Any], kind: str) -> list[Item]:
    items = args.get(kind, [])
    if not isinstance(items, list):
        raise Refused("bad_request", f"read: {kind} must be a list")
    return items


def _device(kind: str, item: object) -> str:
    """The device an item is of. Raises Refused for an item of another form."""
    if kind == "series":
        device, _, tag = item.partition("/") if isinstance(item, str) else ("", "", "")
        if NAME_PART.fullmatch(device) and NAME_PART.fullmatch(tag):
            return device
        raise Refused("bad_request", f"read: {short(repr(item))} is no series; device/tag is one")
    keys = {"device": str, "table": str, "address": int, "count": int}
    if kind == "characteristics":
        keys = {"device": str, "characteristic": str}
    if (
        isinstance(item, Mapping)
        and item.keys() == keys.keys()
        and all(
            isinstance(item[key], kind_) and not isinstance(item[key], bool) for key, kind_ in keys.items()
        )
        and NAME_PART.fullmatch(item["device"])
        and 0 <= item.get("address", 0) <= 0xFFFF
        and 1 <= item.get("count", 1) <= MAX_COUNT
        and all(len(item.get(key, "")) <= 64 for key in ("table", "characteristic"))
    ):
        return str(item["device"])
    raise Refused("bad_request", f"read: {short(repr(item))} is not of {kind}: {', '.join(keys)}")


def _parts(source: str, items: Sequence[tuple[str, Item]]) -> list[Part]:
    parts: list[Part] = []
    args: dict[str, list[Item]] = {}
    size_bytes = 0
    for kind, item in items:
        item_bytes = _estimated_bytes(kind, item)
        if args and size_bytes + item_bytes > PART_BYTES:
            parts.append(Part(source, args))
            args, size_bytes = {}, 0
        args.setdefault(kind, []).append(item)
        size_bytes += item_bytes
    if args:
        parts.append(Part(source, args))
    return parts


def _estimated_bytes(kind: str, item: Item) -> int:
    """Of the item's answer: names, a number of 20 digits, time, punctuation."""
    if isinstance(item, str):
        return len(item) + 120
    if kind == "characteristics":
        return 150 + MAX_ATTRIBUTE_HEX // 4
    digits = 2 if item["table"] in ("coil", "discrete") else 6
    return 150 + digits * int(item["count"])


def _failed(item: Item, why: str) -> dict[str, Any]:
    return {"series": item, "error": why} if isinstance(item, str) else {**item, "error": why}
