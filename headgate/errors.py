"""Errors that say what to do: retry later, reject this input, or stop the role."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


class HeadgateError(Exception):
    """The root of every error this package raises on purpose."""


class Retry(HeadgateError):
    """Nothing is wrong with the request; the same call may succeed later (offline, closed, busy)."""


class Reject(HeadgateError):
    """This input will never be accepted; `problems` names each fault with its place and the way out."""

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)

    def __str__(self) -> str:
        return "\n  ".join([super().__str__(), *map(str, self.problems)])


class Fatal(HeadgateError):
    """The role cannot go on in this process; it must exit and say why."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault in one place: where it is, what is wrong, and what would be right."""

    path: str
    what: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.path}: {self.what}" + (f" ({self.hint})" if self.hint else "")
