"""What is asked for, from words on a command line to a request's arguments. Pure."""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from headgate_cloud.cli.times import instant_ms

SERIES: Final = re.compile(r"[A-Za-z0-9_.-]{1,64}/[A-Za-z0-9_.-]{1,64}")
FILE_ID: Final = re.compile(r"[0-9a-f]{32}")
TABLES: Final = ("holding", "input", "coil", "discrete")

Args = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Question:
    """One request, without id and deadline."""

    op: str
    args: Args


def read(given: argparse.Namespace, now_ms: int) -> Question:
    """Raises ValueError."""
    args: dict[str, object] = {}
    if given.series:
        args["series"] = [_series(name) for name in given.series]
    if given.register:
        args["registers"] = [_register(text) for text in given.register]
    if given.characteristic:
        args["characteristics"] = [_characteristic(text) for text in given.characteristic]
    if not args:
        raise ValueError("nothing to read; name series, or give --register or --characteristic")
    return Question("read", args)


def write(given: argparse.Namespace, now_ms: int) -> Question:
    """Raises ValueError."""
    return Question("write", {"values": [_assigned(text) for text in given.values]})


def query(given: argparse.Namespace, now_ms: int) -> Question:
    """Raises ValueError."""
    start, end = instant_ms(given.start, now_ms), instant_ms(given.end, now_ms)
    if start >= end:
        raise ValueError(f"--from {given.start} is not before --to {given.end}")
    args: dict[str, object] = {"series": [_series(name) for name in given.series], "from": start, "to": end}
    if given.newest_first:
        args["newest_first"] = True
    if given.limit is not None:
        if given.limit < 1:
            raise ValueError("--limit is 1 or more")
        args["limit"] = given.limit
    return Question("query", args)


def listing(given: argparse.Namespace, now_ms: int) -> Question:
    return Question("list", {"what": given.what})


def scan(given: argparse.Namespace, now_ms: int) -> Question:
    """Raises ValueError."""
    args: dict[str, object] = {"source": given.source}
    for name in ("adapter", "device", "first", "last", "seconds", "timeout_s"):
        value = getattr(given, name, None)
        if value is not None:
            args[name] = value
    first = given.first or 1 if given.source == "modbus" else 1
    if given.source == "modbus" and given.last is not None and given.last < first:
        raise ValueError(f"--last {given.last} is before --first {first}")
    return Question("scan", args)


def fetch(given: argparse.Namespace, now_ms: int) -> Question:
    """A job's reply waits for the upload; a direct one does not. Raises ValueError."""
    return Question("fetch", file_named(given.file))


def file_named(text: str) -> dict[str, str]:
    """A file id, or SOURCE/PATH; raises ValueError."""
    if FILE_ID.fullmatch(text):
        return {"file_id": text}
    source, _, path = text.partition("/")
    if not source or not path:
        raise ValueError(f"{text!r} is no file; write its id (32 hex digits) or SOURCE/PATH")
    return {"source": source, "path": path}


def things(words: Sequence[str]) -> list[str]:
    """`--thing a --thing b,c` to a, b, c; raises ValueError."""
    found = list(dict.fromkeys(name for word in words for name in word.split(",") if name))
    for name in found:
        if not re.fullmatch(r"[A-Za-z0-9:_-]{1,128}", name):
            raise ValueError(f"{name!r} is no name of a thing")
    return found


def _series(name: str) -> str:
    if not SERIES.fullmatch(name):
        raise ValueError(f"{name!r} is no series; write DEVICE/TAG")
    return name


def _assigned(text: str) -> dict[str, object]:
    """`m/t=7` to series and value: what JSON has as a number, a boolean or a text, else the text as it is."""
    name, sign, spelt = text.partition("=")
    if not sign or not spelt:
        raise ValueError(f"{text!r} writes nothing; write DEVICE/TAG=VALUE")
    try:
        value = json.loads(spelt, parse_constant=_no_number)
    except ValueError:
        value = spelt
    match value:
        case bool() | int() | float() | str():
            return {"series": _series(name), "value": value}
    raise ValueError(f"{spelt!r} is no value; it is a number, true, false or a text")


def _no_number(text: str) -> object:
    """NaN and Infinity are no JSON, and nothing that a device could be set to."""
    raise ValueError(text)


def _register(text: str) -> dict[str, object]:
    parts = text.split(":")
    if len(parts) not in (3, 4) or parts[1] not in TABLES or not all(p.isdecimal() for p in parts[2:]):
        raise ValueError(
            f"{text!r} is no register; write DEVICE:TABLE:ADDRESS[:COUNT], TABLE one of {', '.join(TABLES)}"
        )
    count = int(parts[3]) if len(parts) == 4 else 1
    return {"device": parts[0], "table": parts[1], "address": int(parts[2]), "count": count}


def _characteristic(text: str) -> dict[str, object]:
    device, _, uuid = text.partition(":")
    if not device or not uuid:
        raise ValueError(f"{text!r} is no characteristic; write DEVICE:UUID")
    return {"device": device, "characteristic": uuid}
