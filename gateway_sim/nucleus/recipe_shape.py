"""Which keys a recipe may have and of what type; finds every fault's place before anything is used."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

import yaml

from gateway_sim.nucleus.errors import InputError, did_you_mean
from gateway_sim.nucleus.jsonvalue import Json, Object

Shape: TypeAlias = "str | dict[str, Shape] | list[Shape]"

# A string names a type; {"*": shape} is an object with free keys; a list is a list of its one shape.
_STEP: Shape = "step"
_LIFECYCLE: dict[str, Shape] = {
    "Setenv": {"*": "scalar"},
    "install": _STEP,
    "run": _STEP,
    "startup": _STEP,
    "shutdown": _STEP,
    "recover": _STEP,
    "bootstrap": _STEP,
    "uninstall": _STEP,
}
_STEP_KEYS: dict[str, Shape] = {
    "Script": "text",
    "Setenv": {"*": "scalar"},
    "RequiresPrivilege": "scalar",
    "Timeout": "scalar",
    "Skipif": "text",
    "BootstrapOnRollback": "scalar",
}
_ARTIFACT: dict[str, Shape] = {
    "URI": "text",
    "Unarchive": "text",
    "Permission": {"Read": "text", "Execute": "text"},
    "Digest": "text",
    "Algorithm": "text",
}
RECIPE: dict[str, Shape] = {
    "RecipeFormatVersion": "text",
    "ComponentName": "text",
    "ComponentVersion": "text",
    "ComponentDescription": "text",
    "ComponentPublisher": "text",
    "ComponentType": "text",
    "ComponentSource": "text",
    "ComponentConfiguration": {"DefaultConfiguration": "object"},
    "ComponentDependencies": {"*": {"VersionRequirement": "text", "DependencyType": "text"}},
    "Lifecycle": dict(_LIFECYCLE),
    "Manifests": [
        {
            "Name": "text",
            "Platform": {"os": "text", "architecture": "text", "runtime": "text", "*": "text"},
            "Lifecycle": dict(_LIFECYCLE),
            "Selections": ["text"],
            "Artifacts": [_ARTIFACT],
        }
    ],
}
_ALIASES = {"uri": "URI", "setenv": "Setenv"}  # both spellings work in lite too
_TYPES: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "object": (dict,),
    "scalar": (str, int, float, bool),
}


class _PlainLoader(yaml.SafeLoader):
    """YAML as Jackson reads it for classic: no dates, and only true and false are booleans."""


_TAG = "tag:yaml.org,2002:"
_PlainLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag not in (_TAG + "timestamp", _TAG + "bool")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_PlainLoader.add_implicit_resolver(
    _TAG + "bool", re.compile("true|True|TRUE|false|False|FALSE"), list("tTfF")
)


def load(file: Path, *, scalars_are_strings: bool) -> Object:
    """Read YAML (or JSON, which is YAML); raise InputError with the line where it is neither."""
    loader = yaml.BaseLoader if scalars_are_strings and file.suffix != ".json" else _PlainLoader
    try:
        document = yaml.load(file.read_text(encoding="utf-8"), loader)  # both are safe loaders
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(file, "", f"does not parse: {' '.join(str(error).split())}") from error
    except OSError as error:
        raise InputError(file, "", f"cannot be read: {error.strerror}") from error
    if not isinstance(document, dict):
        raise InputError(file, "", "must be an object")
    return {str(key): _with_text_keys(value) for key, value in document.items()}


def _with_text_keys(value: Json) -> Json:
    """YAML keys may be numbers; in a recipe they are text."""
    if isinstance(value, dict):
        return {str(key): _with_text_keys(item) for key, item in value.items()}
    return [_with_text_keys(item) for item in value] if isinstance(value, list) else value


class Checker:
    """Checks one document and gives it back with canonical keys."""

    def __init__(self, file: Path, *, case_sensitive: bool, selections: frozenset[str] = frozenset()) -> None:
        self._file = file
        self._case_sensitive = case_sensitive
        self._selections = selections

    def value(self, value: Json, shape: Shape, path: str) -> Json:
        """Check a value of any shape."""
        if isinstance(shape, dict):
            return self.object(value, shape, path)
        if isinstance(shape, list):
            if not isinstance(value, list):
                raise InputError(self._file, path, f"must be a list, not {_kind(value)}")
            return [self.value(item, shape[0], f"{path}[{index}]") for index, item in enumerate(value)]
        if shape == "step":
            return self._step(value, path)
        if not isinstance(value, _TYPES[shape]):
            names = {"text": "a string", "object": "an object", "scalar": "a string, number or boolean"}
            raise InputError(self._file, path, f"must be {names[shape]}, not {_kind(value)}")
        return value

    def object(self, value: Json, shape: Mapping[str, Shape], path: str) -> Object:
        """Check an object and canonicalise its keys."""
        if not isinstance(value, dict):
            raise InputError(self._file, path, f"must be an object, not {_kind(value)}")
        checked: Object = {}
        for key, item in value.items():
            here = f"{path}.{key}" if path else str(key)
            name = self._canonical(str(key), shape, here)
            if name in checked:
                raise InputError(self._file, here, "is there twice")
            checked[name] = self.value(item, shape.get(name, shape.get("*", "scalar")), here)
        return checked

    def _canonical(self, key: str, shape: Mapping[str, Shape], path: str) -> str:
        if key in shape:
            return key
        folded = {name.lower(): name for name in shape if name != "*"}
        alias = _ALIASES.get(key.lower())
        name = folded.get(key.lower())
        if name is not None and (not self._case_sensitive or alias == name):
            return name
        if "*" in shape:
            return key
        if name is not None:
            raise InputError(
                self._file, path, "unknown key", f"nucleus lite is case-sensitive: write {name!r}"
            )
        raise InputError(self._file, path, "unknown key", did_you_mean(key, shape))

    def _step(self, value: Json, path: str) -> Json:
        if isinstance(value, str):
            return {"Script": value}
        if isinstance(value, dict) and value and all(str(key).lower() in self._selections for key in value):
            return {"*": {str(k).lower(): self._step(v, f"{path}.{k}") for k, v in value.items()}}
        return self.object(value, _STEP_KEYS, path)


def _kind(value: Json) -> str:
    names: dict[type, str] = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    return "nothing" if value is None else names.get(type(value), "a number")
