"""Strict JSON reading: every fault is an `Undecodable` that names the path it was found at."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Final

I64: Final = (-(2**63), 2**63 - 1)
U64: Final = (0, 2**64 - 1)

# RFC 8259 has no literals for these; docs/wire.md writes them as strings.
NON_FINITE: Final = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}

_TYPE_NAMES: Final = {dict: "object", list: "array", str: "string", type(None): "null", bool: "boolean"}


class Undecodable(ValueError):
    """These bytes are no envelope; `path` is where (`$` is the whole), `what` is the fault."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(f"{path}: {what}")
        self.path = path
        self.what = what


def parse(body: bytes) -> object:
    """The JSON value of UTF-8 `body`; duplicate keys, NaN literals and overflowing numbers are refused."""
    try:
        return json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_unique,
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
    except Undecodable:
        raise
    except RecursionError:
        raise Undecodable("$", "nested too deeply") from None
    except ValueError as error:  # JSONDecodeError, UnicodeDecodeError, integers beyond Python's digit limit
        raise Undecodable("$", f"not JSON: {error}") from None


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Undecodable("$", f"key {twice!r} is there twice in one object")
    return found


def _refuse_constant(literal: str) -> object:
    raise Undecodable("$", f"{literal} is no JSON literal, write it as a string")


def _finite(literal: str) -> float:
    value = float(literal)
    if math.isinf(value):
        raise Undecodable("$", f"{literal[:40]} overflows a double")
    return value


def fields(
    value: object, path: str, required: Sequence[str], optional: Sequence[str] = ()
) -> dict[str, object]:
    """An object with exactly these keys."""
    found = mapping(value, path)
    for name in required:
        if name not in found:
            raise Undecodable(path, f"{name!r} is missing")
    for name in found:
        if name not in required and name not in optional:
            raise Undecodable(path, f"unknown key {name[:64]!r}")
    return found


def mapping(value: object, path: str) -> dict[str, object]:
    if not isinstance(value, dict):
        raise _mistyped(value, path, "an object")
    return value


def array(value: object, path: str) -> list[object]:
    if not isinstance(value, list):
        raise _mistyped(value, path, "an array")
    return value


def integer(value: object, path: str, bounds: tuple[int, int] = I64) -> int:
    """An integer within `bounds`, both ends included; true and 1.0 are none."""
    if type(value) is not int:
        raise _mistyped(value, path, "an integer")
    if not bounds[0] <= value <= bounds[1]:
        raise Undecodable(path, f"{value} is outside {bounds[0]}..{bounds[1]}")
    return value


def string(value: object, path: str, pattern: re.Pattern[str] | None = None) -> str:
    if not isinstance(value, str):
        raise _mistyped(value, path, "a string")
    if pattern is not None and not pattern.fullmatch(value):
        raise Undecodable(path, f"{value[:64]!r} does not match {pattern.pattern}")
    return value


def choice(value: object, path: str, allowed: Sequence[str]) -> str:
    found = string(value, path)
    if found not in allowed:
        raise Undecodable(path, f"{found[:64]!r} is none of {', '.join(allowed)}")
    return found


def number(value: object, path: str) -> int | float:
    """A JSON number, or one of the strings that stand for NaN and the infinities."""
    if isinstance(value, str) and value in NON_FINITE:
        return NON_FINITE[value]
    if type(value) is int or type(value) is float:
        return value
    raise _mistyped(value, path, 'a number (or "NaN", "Infinity", "-Infinity")')


def _mistyped(value: object, path: str, wanted: str) -> Undecodable:
    return Undecodable(path, f"{wanted} is wanted, not {_TYPE_NAMES.get(type(value), 'a number')}")
