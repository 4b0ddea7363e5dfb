"""Takes values out of a nested document and notes every fault with its path, so that all are told at once.

A getter that finds a fault notes it and returns a stand-in of the right type, so that reading goes on;
`Problems.reject_if_any` then refuses the whole document. Scalars are read leniently: nucleus lite turns
numbers and booleans into strings, classic turns integers into floats.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypeVar

from headgate.errors import Problem, Reject

MAX_PROBLEMS = 50
"""More than this many faults are a wrong file rather than a list that somebody reads."""

T = TypeVar("T", bound=str)


class Problems:
    """The faults found in one document, named by `source` (a file, a component)."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.found: list[Problem] = []

    def add(self, path: str, what: str, hint: str = "") -> None:
        """Note a fault; past MAX_PROBLEMS they are only counted by the caller's last line."""
        if len(self.found) < MAX_PROBLEMS:
            self.found.append(Problem(path or "(top)", what, hint))

    def reject_if_any(self) -> None:
        """Raise Reject with every fault, or return."""
        if self.found:
            count = f"{len(self.found)} problem" + ("s" if len(self.found) > 1 else "")
            raise Reject(f"{self.source}: {count}, nothing was applied", self.found)


class Section:
    """One mapping of the document. `close()` after the last getter notes the keys nothing asked for."""

    def __init__(self, value: object, path: str, problems: Problems) -> None:
        self.path = path
        self.problems = problems
        self._asked: set[str] = set()
        self._values: Mapping[str, Any] = {}
        if isinstance(value, Mapping):
            self._values = value
        elif value is not None:
            problems.add(path, f"expected a mapping, found {describe(value)}")

    def at(self, key: str) -> str:
        """The path of a key in this section, as faults name it."""
        return f"{self.path}.{key}" if self.path else key

    def has(self, key: str) -> bool:
        """Whether the key is there with a value other than null."""
        self._asked.add(key)
        return self._values.get(key) is not None

    def present(self, keys: Collection[str]) -> set[str]:
        """Those of the keys that are there with a value other than null."""
        self._asked.update(keys)
        return {key for key in keys if self._values.get(key) is not None}

    def fault(self, key: str, what: str, hint: str = "") -> None:
        """Note a fault that a getter cannot know of."""
        self.problems.add(self.at(key), what, hint)

    def text(self, key: str, default: str | None = None, *, pattern: str = "", hint: str = "") -> str:
        """A string; with `pattern`, one that matches it whole."""
        value = self._get(key, default is None)
        if value is None:
            return default or ""
        if not isinstance(value, str):
            self.fault(key, f"expected text, found {describe(value)}", hint)
            return default or ""
        if pattern and not re.fullmatch(pattern, value):
            self.fault(key, f"{value!r} is not allowed here", hint or f"must match {pattern}")
        return value

    def choice(self, key: str, choices: Sequence[T], default: T | None = None) -> T:
        """One of the given words."""
        value = self._get(key, default is None)
        for choice in choices:
            if value == choice:
                return choice
        if value is not None:
            close = difflib.get_close_matches(str(value), choices, 1)
            known = "known are " + ", ".join(choices)
            self.fault(key, f"unknown {value!r}", f"did you mean {close[0]!r}? {known}" if close else known)
        return choices[0] if default is None else default

    def number(
        self, key: str, default: float | None = None, *, low: float = -math.inf, high: float = math.inf
    ) -> float:
        """A finite number in [low, high]."""
        value = _number(self._get(key, default is None))
        stand_in = default if default is not None else (low if math.isfinite(low) else 0.0)
        if value is None:
            return stand_in
        if isinstance(value, str):
            self.fault(key, f"expected a number, found {value}")
            return stand_in
        if not (math.isfinite(value) and low <= value <= high):
            self.fault(key, f"{value:g} is out of range", f"{low:g} to {high:g}")
            return stand_in
        return value

    def integer(self, key: str, default: int | None = None, *, low: int, high: int) -> int:
        """A whole number in [low, high]."""
        value = _number(self._get(key, default is None))
        stand_in = default if default is not None else low
        if value is None:
            return stand_in
        if isinstance(value, str) or value != int(value):
            self.fault(key, f"expected a whole number, found {value}")
            return stand_in
        if not low <= value <= high:
            self.fault(key, f"{int(value)} is out of range", f"{low} to {high}")
            return stand_in
        return int(value)

    def boolean(self, key: str, default: bool | None = None) -> bool:
        """true or false, also as text."""
        value = self._get(key, default is None)
        if value is None:
            return bool(default)
        if isinstance(value, bool):
            return value
        if isinstance(value, str) and value.lower() in {"true", "false"}:
            return value.lower() == "true"
        self.fault(key, f"expected true or false, found {describe(value)}")
        return bool(default)

    def section(self, key: str, *, required: bool = False) -> Section:
        """A mapping below this one; an empty one where it is missing."""
        return Section(self._get(key, required), self.at(key), self.problems)

    def sections(self, key: str, *, required: bool = False) -> list[Section]:
        """A list of mappings below this one."""
        value = self._get(key, required)
        if value is None:
            return []
        if not isinstance(value, list):
            self.fault(key, f"expected a list, found {describe(value)}")
            return []
        return [Section(item, f"{self.at(key)}[{i}]", self.problems) for i, item in enumerate(value)]

    def value(self, key: str) -> Any:
        """The value as it is, whatever it is; None where it is missing."""
        return self._get(key, False)

    def items(self) -> list[tuple[str, Any]]:
        """All keys and values of this section as they are; marks them as known."""
        self._asked.update(self._values)
        return list(self._values.items())

    def close(self) -> None:
        """Note every key that nothing asked for."""
        unknown_keys(self._values, self._asked, self.path, self.problems)

    def _get(self, key: str, required: bool) -> Any:
        self._asked.add(key)
        value = self._values.get(key)
        if value is None and required:
            self.fault(key, "is missing")
        return value


def unknown_keys(values: Collection[str], known: Collection[str], path: str, problems: Problems) -> None:
    """Note each key of `values` that is not in `known`, with the nearest known one as a hint."""
    unknown = [key for key in values if key not in known]
    if not unknown:
        return
    by_lower_case = {name.lower(): name for name in sorted(known)}
    for key in unknown:
        close = difflib.get_close_matches(str(key).lower(), by_lower_case, 1)
        meant = f"did you mean {by_lower_case[close[0]]!r}?" if close else ""
        hint = meant or "known are " + ", ".join(sorted(known))
        problems.add(f"{path}.{key}" if path else str(key), "unknown key", hint)


def describe(value: object) -> str:
    """A value in words for an error: its type and, when short, itself."""
    names = {dict: "a mapping", list: "a list", str: "text", bool: "a boolean", type(None): "nothing"}
    name = names.get(type(value), "a number" if isinstance(value, int | float) else type(value).__name__)
    text = repr(value)
    return name if isinstance(value, dict | list) or len(text) > 40 else f"{name} ({text})"


def _number(value: object) -> float | int | str | None:
    """The number that a scalar means, a description of what is none, or None where there is nothing."""
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    if isinstance(value, str):
        for read in (int, float):
            try:
                return read(value)
            except ValueError:
                continue
    return describe(value)
