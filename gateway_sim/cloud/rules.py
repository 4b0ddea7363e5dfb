"""Rules: the subset of AWS IoT SQL that the shipped template uses; anything else is refused at load.

`SELECT expression AS name, ... FROM 'topic/filter' [WHERE comparison [AND comparison ...]]`, where an
expression is `encode(*, 'base64')`, `topic()`, `topic(n)`, `timestamp()`, `clientid()`, a number or a string,
and a comparison is one expression against another with =, <>, <, <=, > or >=.
"""

from __future__ import annotations

import base64
import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

BASIC_INGEST: Final = "$aws/rules/"

Scalar = str | int | float | None
Expression = Callable[["Publish"], Scalar]
Condition = Callable[["Publish"], bool]

_TOKEN: Final = re.compile(
    r"\s*(?:(?P<string>'[^']*')|(?P<number>-?\d+(?:\.\d+)?)|(?P<word>[A-Za-z_]\w*)|(?P<symbol><>|<=|>=|[(),*=<>]))"
)
# Of unlike types operator.lt and its kin raise TypeError, which is where AWS says Undefined.
_COMPARISONS: Final[Mapping[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "<>": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class BadRule(Exception):
    """SQL outside the subset; the text names the rule and what was found where."""


@dataclass(frozen=True, slots=True)
class Publish:
    """A message as a rule sees it: `topic` without a Basic Ingest prefix."""

    topic: str
    payload: bytes
    t_ms: int
    client: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """A parsed rule."""

    name: str
    topic_filter: str
    select: Mapping[str, Expression]
    where: tuple[Condition, ...]

    @classmethod
    def parse(cls, name: str, sql: str) -> Rule:
        """Raises BadRule."""
        return _Parser(name, sql).rule()

    def apply(self, topic: str, payload: bytes, *, t_ms: int, client: str = "") -> dict[str, Scalar] | None:
        """What the rule selects from a message on `topic`, or None where it does not apply.

        A topic behind `$aws/rules/<name>/` is for the rule of that name alone and is seen without the prefix.
        """
        if topic.startswith(BASIC_INGEST):
            wanted, _, topic = topic.removeprefix(BASIC_INGEST).partition("/")
            if wanted != self.name:
                return None
        if not matches(self.topic_filter, topic):
            return None
        publish = Publish(topic, payload, t_ms, client)
        if not all(condition(publish) for condition in self.where):
            return None
        selected = {alias: expression(publish) for alias, expression in self.select.items()}
        return {alias: value for alias, value in selected.items() if value is not None}


def matches(topic_filter: str, topic: str) -> bool:
    """MQTT's topic filters, + and #; a leading wildcard matches no topic that starts with $."""
    wanted, levels = topic_filter.split("/"), topic.split("/")
    if levels[0].startswith("$") and wanted[0] in ("+", "#"):
        return False
    for i, level in enumerate(wanted):
        if level == "#":
            return True
        if i >= len(levels) or level not in ("+", levels[i]):
            return False
    return len(wanted) == len(levels)


class _Parser:
    """Recursive descent over the tokens of one statement."""

    def __init__(self, name: str, sql: str) -> None:
        self._name, self._at = name, 0
        self._tokens: list[str] = []
        position, text = 0, sql.strip()
        while position < len(text):
            match = _TOKEN.match(text, position)
            if match is None:
                raise self._refusal(f"{text[position : position + 20].strip()!r} is not understood")
            self._tokens.append(match.group().strip())
            position = match.end()

    def rule(self) -> Rule:
        self._keyword("SELECT")
        select: dict[str, Expression] = {}
        while True:
            expression = self._expression()
            self._keyword("AS")
            alias = self._next()
            if not alias.isidentifier() or alias in select:
                raise self._refusal(f"{alias!r} is no fresh name for a field")
            select[alias] = expression
            if not self._accept(","):
                break
        self._keyword("FROM")
        topic_filter = self._topic_filter(self._next())
        conditions = []
        if self._accept("WHERE"):
            conditions.append(self._condition())
            while self._accept("AND"):
                conditions.append(self._condition())
        if self._at < len(self._tokens):
            raise self._refusal(f"{self._tokens[self._at]!r} after the end is not in the subset")
        return Rule(self._name, topic_filter, select, tuple(conditions))

    def _condition(self) -> Condition:
        left, symbol = self._expression(), self._next()
        if symbol not in _COMPARISONS:
            raise self._refusal(f"{symbol!r} is no comparison in the subset ({' '.join(_COMPARISONS)})")
        right, compare = self._expression(), _COMPARISONS[symbol]

        def holds(publish: Publish) -> bool:
            try:
                return compare(left(publish), right(publish))
            except TypeError:  # AWS: a comparison of unlike types is Undefined, and the rule does not apply
                return False

        return holds

    def _expression(self) -> Expression:
        token = self._next()
        if token.startswith("'"):
            return _constant(token[1:-1])
        if token.lstrip("-")[:1].isdigit():
            return _constant(float(token) if "." in token else int(token))
        if token == "*":
            raise self._refusal("SELECT * is not in the subset: a binary payload needs encode(*, 'base64')")
        if not self._accept("("):
            raise self._refusal(f"the field {token!r} of a payload is not in the subset")
        arguments = []
        while not self._accept(")"):
            arguments.append(self._next())
            self._accept(",")
        return self._function(token.lower(), arguments)

    def _function(self, name: str, arguments: list[str]) -> Expression:
        match name, arguments:
            case "encode", ["*", "'base64'"]:
                return lambda publish: base64.b64encode(publish.payload).decode("ascii")
            case "topic", []:
                return lambda publish: publish.topic
            case "topic", [level] if level.isdigit() and level != "0":
                return _topic_level(int(level))
            case "timestamp", []:
                return lambda publish: publish.t_ms
            case "clientid", []:
                return lambda publish: publish.client
        raise self._refusal(f"{name}({', '.join(arguments)}) is not in the subset")

    def _topic_filter(self, token: str) -> str:
        levels = token[1:-1].split("/")
        if not token.startswith("'") or not token[1:-1]:
            raise self._refusal(f"FROM wants a topic filter in quotes, not {token!r}")
        if any(("+" in level and level != "+") or ("#" in level and level != "#") for level in levels):
            raise self._refusal(f"{token}: + and # stand for whole levels")
        if "#" in levels[:-1]:
            raise self._refusal(f"{token}: # is the last level or not there")
        return token[1:-1]

    def _next(self) -> str:
        if self._at == len(self._tokens):
            raise self._refusal("the statement ends too early")
        self._at += 1
        return self._tokens[self._at - 1]

    def _accept(self, wanted: str) -> bool:
        found = self._at < len(self._tokens) and self._tokens[self._at].upper() == wanted
        self._at += found
        return found

    def _keyword(self, wanted: str) -> None:
        found = self._next()
        if found.upper() != wanted:
            raise self._refusal(f"{wanted} is wanted where {found!r} stands")

    def _refusal(self, what: str) -> BadRule:
        return BadRule(f"rule {self._name}: {what}")


def _constant(value: Scalar) -> Expression:
    return lambda _: value


def _topic_level(n: int) -> Expression:
    def level(publish: Publish) -> Scalar:
        levels = publish.topic.split("/")
        return levels[n - 1] if n <= len(levels) else None  # AWS: Undefined, which leaves the field out

    return level
