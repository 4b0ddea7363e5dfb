"""What JSON can hold, and reading fields of a request out of it."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from gateway_sim.nucleus.errors import InvalidArgumentsError

Json: TypeAlias = "dict[str, Json] | list[Json] | str | int | float | bool | None"
Object: TypeAlias = "dict[str, Json]"


MAX_NUMBER = 1e15
MAX_DEPTH = 100  # of a request; far below where recursion over it would end


def parse_object(payload: bytes) -> Object:
    """The JSON object in a request; raise ValueError for anything that is none, or not sane."""
    try:
        value = json.loads(payload)
        if b"\\u" in payload:
            json.dumps(value, ensure_ascii=False).encode()  # a lone surrogate is no text
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if not isinstance(value, dict):
        raise ValueError("not an object")  # noqa: TRY004 - one kind of error for all that is no request
    level: list[Json] = [value]
    for _ in range(MAX_DEPTH):
        level = [child for node in level if isinstance(node, dict | list) for child in _children(node)]
        if not level:
            return value
    raise ValueError(f"nested deeper than {MAX_DEPTH}")


def _children(node: Object | list[Json]) -> Iterable[Json]:
    return node.values() if isinstance(node, dict) else node


def text(body: Mapping[str, Json], key: str) -> str:
    """The non-empty string at `key`."""
    value = body.get(key)
    if not isinstance(value, str) or not value:
        raise InvalidArgumentsError(f"{key} must be a non-empty string")
    return value


def optional_text(body: Mapping[str, Json], key: str) -> str | None:
    """The string at `key`, or None where there is none."""
    return None if body.get(key) is None else text(body, key)


def obj(body: Mapping[str, Json], key: str) -> Object:
    """The object at `key`."""
    value = body.get(key)
    if not isinstance(value, dict):
        raise InvalidArgumentsError(f"{key} must be an object")
    return value


def path(body: Mapping[str, Json], key: str) -> tuple[str, ...]:
    """The list of strings at `key`; absent and null mean the root."""
    value = body.get(key)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise InvalidArgumentsError(f"{key} must be a list of strings")
    parts: list[str] = []
    for part in value:
        if not isinstance(part, str):
            raise InvalidArgumentsError(f"{key} must be a list of strings")
        parts.append(part)
    return tuple(parts)


def blob(body: Mapping[str, Json], key: str) -> bytes:
    """The base64 blob at `key`; absent means empty."""
    value = body.get(key)
    if value is None:
        return b""
    if not isinstance(value, str):
        raise InvalidArgumentsError(f"{key} must be a base64 string")
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise InvalidArgumentsError(f"{key} is not base64: {error}") from error


def number(body: Mapping[str, Json], key: str) -> float:
    """The number at `key`."""
    value = body.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidArgumentsError(f"{key} must be a number")
    if not abs(value) < MAX_NUMBER:
        raise InvalidArgumentsError(f"{key} is out of range")
    return float(value)


def gson(value: Json) -> Json:
    """The value as Gson hands it on: every number is a double."""
    if isinstance(value, dict):
        return {key: gson(item) for key, item in value.items()}
    if isinstance(value, list):
        return [gson(item) for item in value]
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value
