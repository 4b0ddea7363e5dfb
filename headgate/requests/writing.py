"""A `write` looked over before it goes to a bridge: pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from headgate.driver import Refused
from headgate.model import NAME_PART
from headgate.requests.model import short, spelled

MAX_VALUES = 16
MAX_BYTES = 2_000
"""Of the arguments: the answer repeats the values, with what was there before, and fits the local bus."""

SourceOf = Callable[[str], str | None]


def plan_write(args: Mapping[str, Any], source_of: SourceOf) -> str:
    """The bridge that is to write. Raises Refused: not as docs/requests.md says, or of several bridges."""
    rows = args.get("values")
    if args.keys() != {"values"} or not isinstance(rows, list) or not 0 < len(rows) <= MAX_VALUES:
        raise Refused("bad_request", f"write takes values, 1 to {MAX_VALUES} of {{series, value}}, alone")
    sources = list(dict.fromkeys(_source(row, source_of) for row in rows))
    if len(sources) > 1:
        several = ", ".join(sources)
        raise Refused("bad_request", f"write: values of more than one bridge ({several}): ask one at a time")
    if len(spelled(args)) > MAX_BYTES:
        raise Refused("bad_request", f"write: the values have more than {MAX_BYTES} B: ask for fewer")
    return sources[0]


def _source(row: object, source_of: SourceOf) -> str:
    match row:
        case {"series": str(name), "value": bool() | int() | float() | str(), **rest} if not rest:
            device, _, tag = name.partition("/")
        case _:
            raise Refused("bad_request", f"write: {short(repr(row))} is not series and value")
    if not (NAME_PART.fullmatch(device) and NAME_PART.fullmatch(tag)):
        raise Refused("bad_request", f"write: {short(repr(name))} is no series; device/tag is one")
    source = source_of(device)
    if source is None:
        raise Refused("unknown_device", f"write: no device {device!r} on this gateway")
    return source
