"""One component's configuration: a tree whose leaves (arrays too) carry the time they were set; pure."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gateway_sim.nucleus.errors import FailedUpdateConditionCheckError, ServiceError
from gateway_sim.nucleus.jsonvalue import Json, Object
from gateway_sim.nucleus.profiles import ConfigLimits

Path = tuple[str, ...]
DEFAULT_T_MS = 1  # so that anything set on purpose is newer than a recipe's default


@dataclass(frozen=True, slots=True)
class Leaf:
    """A scalar or an array, replaced whole, and when it was set."""

    value: Json
    t_ms: int


Node = dict[str, "Node"] | Leaf


class ConfigTree:
    """Immutable to its users: every change gives a new tree, so that a refused one leaves nothing behind."""

    def __init__(self, root: dict[str, Node] | None = None) -> None:
        self._root: dict[str, Node] = {} if root is None else root

    def value(self, path: Path = ()) -> Json:
        """The plain value at a path; raise KeyError where there is none."""
        node: Node = self._root
        for part in path:
            if isinstance(node, Leaf) or part not in node:
                raise KeyError(part)
            node = node[part]
        return _plain(node)

    def with_defaults(self, defaults: Object) -> ConfigTree:
        """Add what is missing; a leaf that is there stays, whatever its value."""
        return ConfigTree(_defaulted(self._root, defaults))

    def without(self, pointers: list[str]) -> ConfigTree:
        """Remove what each JSON pointer names; the empty pointer removes everything."""
        root = self._root
        for pointer in pointers:
            root = _removed(root, pointer_path(pointer))
        return ConfigTree(root)

    def merged(self, path: Path, value: Object, t_ms: int, *, refuse_stale: bool) -> ConfigTree:
        """Merge an object at a path. A leaf set later than `t_ms` is an error, or left as it is."""
        target: Object = value
        for part in reversed(path):
            target = {part: target}
        return ConfigTree(_merged(self._root, target, t_ms, refuse_stale))

    def leaves(self) -> dict[Path, Leaf]:
        """Every leaf by its path."""
        return dict(_leaves(self._root, ()))

    def changed_since(self, before: ConfigTree) -> list[Path]:
        """Paths whose value is new, different or gone."""
        old, new = before.leaves(), self.leaves()
        changed = [path for path, leaf in new.items() if path not in old or old[path].value != leaf.value]
        return changed + [path for path in old if path not in new]

    def newest_ms(self) -> int:
        """When the newest leaf was set."""
        return _newest(self._root)

    def check(self, limits: ConfigLimits | None) -> None:
        """Raise ServiceError where the tree is larger than the nucleus holds."""
        if limits is None:
            return
        objects, keys, widest = _measure(self._root)
        if widest > limits.children:
            raise ServiceError(f"{widest} keys in one configuration object; the limit is {limits.children}")
        if keys > limits.keys:
            raise ServiceError(f"{keys} configuration keys in one component; the limit is {limits.keys}")
        if objects > limits.objects:
            raise ServiceError(f"{objects} configuration objects; the limit is {limits.objects}")

    def to_json(self) -> Json:
        """For the disk: a leaf is a list of value and time."""
        return _stored(self._root)

    @classmethod
    def from_json(cls, stored: Json) -> ConfigTree:
        """What `to_json` gave."""
        root = _restored(stored)
        return cls(root if isinstance(root, dict) else {})


def pointer_path(pointer: str) -> Path:
    """The parts of a JSON pointer (RFC 6901); raise ValueError where it is none."""
    if pointer == "":
        return ()
    if not pointer.startswith("/"):
        raise ValueError(f"{pointer!r} is not a JSON pointer: it must be empty or start with /")
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in pointer[1:].split("/"))


def _plain(node: Node) -> Json:
    return node.value if isinstance(node, Leaf) else {key: _plain(child) for key, child in node.items()}


def _leaves(node: Node, path: Path) -> Iterator[tuple[Path, Leaf]]:
    if isinstance(node, Leaf):
        yield path, node
        return
    for key, child in node.items():
        yield from _leaves(child, (*path, key))


def _defaulted(node: dict[str, Node], defaults: Object) -> dict[str, Node]:
    result = dict(node)
    for key, default in defaults.items():
        there = result.get(key)
        if isinstance(default, dict):
            if there is None or isinstance(there, dict):
                result[key] = _defaulted(there or {}, default)
        elif there is None:
            result[key] = Leaf(default, DEFAULT_T_MS)
    return result


def _removed(node: dict[str, Node], path: Path) -> dict[str, Node]:
    if not path:
        return {}
    child = node.get(path[0])
    if child is None:
        return node
    rest = {key: value for key, value in node.items() if key != path[0]}
    if len(path) == 1:
        return rest
    return {**node, path[0]: _removed(child, path[1:])} if isinstance(child, dict) else node


def _merged(node: dict[str, Node], value: Object, t_ms: int, refuse_stale: bool) -> dict[str, Node]:
    result = dict(node)
    for key, new in value.items():
        there = result.get(key)
        if isinstance(new, dict) and (there is None or isinstance(there, dict)):
            result[key] = _merged(there or {}, new, t_ms, refuse_stale)
        elif there is not None and _newest(there) > t_ms:
            if refuse_stale:
                raise FailedUpdateConditionCheckError(
                    f"Proposed timestamp of {key!r} is older than the timestamp of the current value"
                )
        else:
            result[key] = _merged({}, new, t_ms, refuse_stale) if isinstance(new, dict) else Leaf(new, t_ms)
    return result


def _newest(node: Node) -> int:
    return max((leaf.t_ms for _, leaf in _leaves(node, ())), default=0)


def _measure(node: dict[str, Node]) -> tuple[int, int, int]:
    objects, keys, widest = 1, len(node), len(node)
    for child in node.values():
        if isinstance(child, dict):
            inner = _measure(child)
            objects, keys, widest = objects + inner[0], keys + inner[1], max(widest, inner[2])
    return objects, keys, widest


def _stored(node: Node) -> Json:
    return [node.value, node.t_ms] if isinstance(node, Leaf) else {k: _stored(v) for k, v in node.items()}


def _restored(stored: Json) -> Node:
    if isinstance(stored, list) and len(stored) == 2 and isinstance(stored[1], int):
        return Leaf(stored[0], stored[1])
    return {key: _restored(child) for key, child in stored.items()} if isinstance(stored, dict) else {}
