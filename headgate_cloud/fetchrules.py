"""Which announced files are fetched without being asked for: the template's parameter FetchRules. Pure."""

from __future__ import annotations

import fnmatch
import json
from collections.abc import Iterable
from dataclasses import dataclass

from headgate_cloud.fetchtable import PRIORITIES


class BadRules(ValueError):
    """The parameter cannot be used; the text says which rule and why."""


@dataclass(frozen=True, slots=True)
class Announced:
    """A file as its announcement has it, and how old it was then."""

    source: str
    path: str
    size_bytes: int
    age_s: float


@dataclass(frozen=True, slots=True)
class FetchRule:
    """`source` and `path` are patterns (* ? []); an alarm's captures are a source like any other."""

    source: str = "*"
    path: str = "*"
    max_bytes: int | None = None
    max_age_s: int | None = None
    priority: int = 5

    def covers(self, file: Announced) -> bool:
        return (
            fnmatch.fnmatchcase(file.source, self.source)
            and fnmatch.fnmatchcase(file.path, self.path)
            and (self.max_bytes is None or file.size_bytes <= self.max_bytes)
            and (self.max_age_s is None or file.age_s <= self.max_age_s)
        )


def rules(text: str) -> tuple[FetchRule, ...]:
    """The parameter's text; raises BadRules."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise BadRules(f"FetchRules is not JSON: {error}") from error
    if not isinstance(found, list):
        raise BadRules("FetchRules is a JSON list")
    return tuple(_rule(i, rule) for i, rule in enumerate(found))


def priority_of(file: Announced, given: Iterable[FetchRule]) -> int | None:
    """The highest that a rule gives; None where none covers the file."""
    return max((rule.priority for rule in given if rule.covers(file)), default=None)


def _rule(i: int, found: object) -> FetchRule:
    where = f"FetchRules[{i}]"
    if not isinstance(found, dict):
        raise BadRules(f"{where} is an object")
    wanted = {"source": str, "path": str, "max_bytes": int, "max_age_s": int, "priority": int}
    for name, value in found.items():
        if name not in wanted:
            raise BadRules(f"{where}.{name} is none of {', '.join(wanted)}")
        if type(value) is not wanted[name]:
            raise BadRules(f"{where}.{name} is {value!r}, not of type {wanted[name].__name__}")
    rule = FetchRule(**found)
    if not PRIORITIES[0] <= rule.priority <= PRIORITIES[1]:
        raise BadRules(f"{where}.priority is {rule.priority}, not {PRIORITIES[0]} to {PRIORITIES[1]}")
    return rule
