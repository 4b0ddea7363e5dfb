"""The site document: loaded from YAML or JSON, then handed section by section to whoever owns each."""

from __future__ import annotations

import json
from collections.abc import Callable, Hashable, Mapping
from typing import Any

import yaml

from headgate.config.reader import Problems, Section, describe
from headgate.errors import Problem, Reject

SCHEMA = 1
MAX_BYTES = 4 << 20
"""Largest site document: tens of thousands of tags, spelled out."""
MAX_NODES = 1_000_000
"""Most values in a document, aliases written out: a small file can describe a huge one."""
MAX_DEPTH = 32

Parser = Callable[[Section], Any]
"""Turns one section into its owner's typed configuration; notes faults in `section.problems`, closes it."""


def load_document(text: str | bytes, source: str) -> Mapping[str, Any]:
    """The mapping that a site document spells, as YAML or JSON; `source` names it in errors.

    Raises Reject, with line and column where there is one, for what is too large, not UTF-8, not YAML, has a
    key twice, or is no mapping.
    """
    data = text.encode() if isinstance(text, str) else text
    if len(data) > MAX_BYTES:
        raise _refused(source, "(file)", f"has {len(data)} B, at most {MAX_BYTES} are read")
    try:
        document = _load(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise _refused(source, f"byte {error.start}", "is not UTF-8", "save the file as UTF-8") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"line {mark.line + 1}, column {mark.column + 1}" if mark else "(file)"
        raise _refused(source, place, error.problem or "is not YAML", error.note or "") from error
    except yaml.YAMLError as error:
        raise _refused(source, "(file)", f"is not YAML: {error}") from error
    except (RecursionError, ValueError) as error:
        raise _refused(source, "(file)", f"cannot be read: {error}") from error
    if not isinstance(document, Mapping):
        raise _refused(source, "(top)", f"expected a mapping, found {describe(document)}")
    if _nodes(document, MAX_NODES, MAX_DEPTH) <= 0:
        raise _refused(source, "(file)", f"is nested deeper than {MAX_DEPTH} or has over {MAX_NODES} values")
    return document


def parse_sections(
    document: Mapping[str, Any], source: str, owners: Mapping[str, Parser], *, whole: bool
) -> dict[str, Any]:
    """Check `schema` and hand each section to its owner; return section name -> what its parser returned.

    A parser is called also for a missing section, with an empty one. `whole`: sections without an owner are
    faults (the hub checks the whole document); otherwise they are somebody else's (a bridge reads its own).
    Raises Reject with every fault of every section.
    """
    problems = Problems(source)
    top = Section(document, "", problems)
    if top.integer("schema", low=0, high=1 << 31) != SCHEMA and top.has("schema"):
        top.fault(
            "schema", f"{document['schema']!r} is not known here", f"this version reads schema {SCHEMA}"
        )
    parsed = {name: parse(top.section(name)) for name, parse in owners.items()}
    if whole:
        top.close()
    problems.reject_if_any()
    return parsed


def _load(text: str) -> object:
    if text.lstrip().startswith("{"):
        try:
            return json.loads(text, object_pairs_hook=_unique)
        except json.JSONDecodeError:
            pass  # YAML's flow style starts like JSON; its errors name the place just as well
    # The loader is a safe one: a subclass of CSafeLoader.
    return yaml.load(text, _Loader)


class _Loader(yaml.CSafeLoader):
    """CSafeLoader that refuses a mapping with the same key twice instead of taking the last.

    Of words only true and false are booleans, as in YAML 1.2 and JSON: `on`, `off`, `yes`, `no` are texts.
    """

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[Hashable] = set()
        for key_node, _ in node.value:
            if key_node.tag == "tag:yaml.org,2002:merge":
                continue
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable):
                if key in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key!r} is there twice", key_node.start_mark
                    )
                seen.add(key)
        return super().construct_mapping(node, deep)


_Loader.yaml_implicit_resolvers = {
    first: [each for each in resolvers if each[0] != "tag:yaml.org,2002:bool" or first in "tTfF"]
    for first, resolvers in yaml.CSafeLoader.yaml_implicit_resolvers.items()
}


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} is there twice")
    return values


def _nodes(value: object, left: int, depth: int) -> int:
    """How many of `left` nodes remain after walking `value`; 0 or less when it has more, or is too deep."""
    if depth <= 0:
        return 0
    left -= 1
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            if left <= 0:
                return 0
            left = _nodes(item, left, depth - 1)
    return left


def _refused(source: str, place: str, what: str, hint: str = "") -> Reject:
    return Reject(f"{source}: nothing was applied", [Problem(place, what, hint)])
