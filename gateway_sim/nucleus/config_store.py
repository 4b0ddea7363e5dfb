"""The configuration of every component, kept on disk, with watchers told of changes."""

from __future__ import annotations

import itertools
import json
import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path as FilePath

from gateway_sim.nucleus.config_tree import ConfigTree, Path
from gateway_sim.nucleus.errors import InputError, ResourceNotFoundError
from gateway_sim.nucleus.jsonvalue import Json, Object
from gateway_sim.nucleus.profiles import Profile

Watcher = Callable[[str, Path], None]


def now_ms() -> int:
    """UTC in milliseconds, the time that configuration leaves carry."""
    return time.time_ns() // 1_000_000


def write_atomically(path: FilePath, text: str, *, durable: bool = True) -> None:
    """Replace the file whole, so that a reader never sees half of it."""
    fresh = path.with_name(path.name + ".new")
    with fresh.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        if durable:
            os.fsync(file.fileno())
    fresh.replace(path)


class ConfigStore:
    """`<root>/config/config.json`: the trees, and whatever else must outlive the nucleus (`extra`)."""

    def __init__(self, directory: FilePath, profile: Profile) -> None:
        self._file = directory / "config.json"
        self._profile = profile
        self._trees: dict[str, ConfigTree] = {}
        self._watchers: dict[int, tuple[str, Path, str, Watcher]] = {}
        self._ids = itertools.count()
        self.extra: Object = {}
        directory.mkdir(parents=True, exist_ok=True)
        if self._file.exists():
            self._load()

    def _load(self) -> None:
        try:
            stored = json.loads(self._file.read_text(encoding="utf-8"))
            self._trees = {name: ConfigTree.from_json(tree) for name, tree in stored["components"].items()}
            self.extra = stored["extra"]
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            hint = "delete it to start without deployed components"
            raise InputError(self._file, "", f"not the nucleus's configuration: {error!r}", hint) from error

    def names(self) -> list[str]:
        """Components that have a configuration."""
        return list(self._trees)

    def tree(self, component: str) -> ConfigTree:
        """The component's tree; raise ResourceNotFoundError where there is no such component."""
        if component not in self._trees:
            raise ResourceNotFoundError(f"no component {component!r}")
        return self._trees[component]

    def value(self, component: str, path: Path = ()) -> Json:
        """The plain value; raise ResourceNotFoundError where there is none."""
        try:
            return self.tree(component).value(path)
        except KeyError as error:
            raise ResourceNotFoundError(
                f"no key {'/'.join(path)!r} in the configuration of {component}"
            ) from error

    def access_control(self, component: str) -> Json:
        """The component's policies, or None."""
        try:
            return self.value(component, ("accessControl",))
        except ResourceNotFoundError:
            return None

    def replace(self, trees: Mapping[str, ConfigTree | None], extra: Object | None = None) -> None:
        """Put all of these in force at once (None removes), save them, then tell the watchers."""
        for tree in trees.values():
            if tree is not None:
                tree.check(self._profile.config_limits)
        before = {name: self._trees.get(name, ConfigTree()) for name in trees}
        for name, tree in trees.items():
            if tree is None:
                self._trees.pop(name, None)
            else:
                self._trees[name] = tree
        self.extra = self.extra if extra is None else extra
        self._save()
        for name, old in before.items():
            for path in self._trees.get(name, ConfigTree()).changed_since(old):
                self._tell(name, path)

    def _save(self) -> None:
        trees: Object = {name: tree.to_json() for name, tree in self._trees.items()}
        write_atomically(self._file, json.dumps({"extra": self.extra, "components": trees}, indent=1))

    def watch(self, watching: str, component: str, path: Path, watcher: Watcher) -> Callable[[], None]:
        """Call `watcher(component, changed path)` on changes at, under or above the path; returns the end."""
        number = next(self._ids)
        self._watchers[number] = (component, path, watching, watcher)
        return lambda: self._unwatch(number)

    def _unwatch(self, number: int) -> None:
        self._watchers.pop(number, None)

    def watches_itself(self, component: str) -> bool:
        """Whether the component has asked to be told of changes to its own configuration."""
        return any(watched == component == by for watched, _, by, _ in self._watchers.values())

    def _tell(self, component: str, path: Path) -> None:
        for watched, prefix, _, watcher in list(self._watchers.values()):
            shared = min(len(prefix), len(path))
            if watched == component and path[:shared] == prefix[:shared]:
                watcher(component, path)
