"""Semantic versions and the requirements that recipes put on them; pure."""

from __future__ import annotations

import re
from typing import TypeAlias

Version: TypeAlias = tuple[int, int, int]
_VERSION = re.compile(r"(\d+)\.(\d+)\.(\d+)(?:[-+][0-9A-Za-z.+-]*)?")
_PART = re.compile(r"(>=|<=|>|<|=|\^|~)?\s*(\d+(?:\.\d+){0,2})")


def parse(text: str) -> Version:
    """The three numbers of `1.2.3`; raise ValueError where it is no version."""
    found = _VERSION.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not a version like 1.2.3")
    return int(found[1]), int(found[2]), int(found[3])


def satisfies(text: str, requirement: str) -> bool:
    """Whether the version meets all parts of `>=1.0.0 <2.0.0`, `^1.0.0`, `~1.2.0`, `1.2.3`; `*` is any."""
    if requirement.strip() in ("", "*"):
        return True
    if not re.fullmatch(rf"\s*(?:{_PART.pattern}\s*,?\s*)+", requirement):
        raise ValueError(f"{requirement!r} is not a version requirement like >=1.0.0 <2.0.0")
    version = parse(text)
    return all(_meets(version, operator or "=", part) for operator, part in _PART.findall(requirement))


def _meets(version: Version, operator: str, part: str) -> bool:
    numbers = [int(number) for number in part.split(".")]
    major, minor, patch, *_ = [*numbers, 0, 0]
    wanted = major, minor, patch
    match operator:
        case ">=":
            return version >= wanted
        case ">":
            return version > wanted
        case "<=":
            return version <= wanted
        case "<":
            return version < wanted
        case "^":
            return wanted <= version < ((major + 1, 0, 0) if major else (0, minor + 1, 0))
        case "~":
            return wanted <= version < (major, minor + 1, 0)
    return version[: len(numbers)] == tuple(numbers)
