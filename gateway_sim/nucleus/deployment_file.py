"""What a deployment asks for: the document's form, from a file or from CreateLocalDeployment."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway_sim.nucleus.config_tree import pointer_path
from gateway_sim.nucleus.errors import InputError, did_you_mean
from gateway_sim.nucleus.jsonvalue import Json, Object
from gateway_sim.nucleus.profiles import Profile

_DOCUMENT = frozenset({"deploymentName", "deploymentId", "components"})
_COMPONENT = frozenset({"componentVersion", "configurationUpdate", "runWith"})
_UPDATE = frozenset({"reset", "merge"})


@dataclass(frozen=True, slots=True)
class Wanted:
    """One component of a deployment; no version means the newest that there is."""

    version: str | None
    reset: tuple[str, ...] = ()
    merge: Object = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Deployment:
    """Components to have; `replaces_all` removes every other, as a group's deployment does."""

    name: str
    source: object  # for messages: the file, or how else it came
    components: Mapping[str, Wanted]
    replaces_all: bool = True
    remove: frozenset[str] = frozenset()
    recipes_from: Path | None = None
    artifacts_from: Path | None = None


def read(file: Path, profile: Profile) -> Deployment:
    """Read a deployment file; raise InputError with place and hint."""
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(file, "", f"cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InputError(file, "", f"is not JSON: {error}") from error
    body = _object(file, "", document, _DOCUMENT)
    size_bytes, limit = len(json.dumps(document, separators=(",", ":"))), profile.max_deployment_bytes
    if limit is not None and size_bytes > limit:
        hint = "keep the site document outside: site: {uri, sha256}"
        raise InputError(file, "", f"deployment of {size_bytes} B; nucleus lite decodes {limit} B", hint)
    if "components" not in body:
        raise InputError(file, "components", "is missing")
    components = body["components"]
    if not isinstance(components, dict):
        raise InputError(file, "components", "must be an object")
    wanted = {name: _wanted(file, f"components.{name}", item) for name, item in components.items()}
    return Deployment(str(body.get("deploymentName", file.stem)), file, wanted)


def _object(file: object, path: str, value: Json, known: frozenset[str]) -> Object:
    if not isinstance(value, dict):
        raise InputError(file, path, "must be an object")
    for key in value:
        if key not in known:
            raise InputError(file, f"{path}.{key}".lstrip("."), "unknown key", did_you_mean(key, known))
    return value


def _wanted(file: object, path: str, value: Json) -> Wanted:
    body = _object(file, path, value, _COMPONENT)
    version = body.get("componentVersion")
    if version is not None and not isinstance(version, str):
        raise InputError(file, f"{path}.componentVersion", "must be a string")
    update_path = f"{path}.configurationUpdate"
    update = _object(file, update_path, body.get("configurationUpdate", {}), _UPDATE)
    return wanted(file, update_path, version, update.get("reset", []), update.get("merge", {}))


def wanted(file: object, path: str, version: str | None, reset: Json, merge: Json) -> Wanted:
    """Check one component's update; `merge` may be an object or one written as a JSON string."""
    if isinstance(merge, str):
        try:
            merge = json.loads(merge)
        except ValueError as error:
            raise InputError(file, f"{path}.merge", f"is a string but not JSON: {error}") from error
    if not isinstance(merge, dict):
        raise InputError(file, f"{path}.merge", "must be an object")
    if not isinstance(reset, list):
        raise InputError(file, f"{path}.reset", "must be a list of JSON pointers")
    pointers: list[str] = []
    for index, pointer in enumerate(reset):
        try:
            pointer_path(str(pointer))
        except ValueError as error:
            raise InputError(file, f"{path}.reset[{index}]", str(error)) from error
        pointers.append(str(pointer))
    return Wanted(version, tuple(pointers), merge)


def from_request(request: Object) -> Deployment:
    """The deployment that a CreateLocalDeployment request describes; raise InputError."""
    source = "CreateLocalDeployment"
    versions = _mapping(source, request, "rootComponentVersionsToAdd")
    updates = _mapping(source, request, "componentToConfiguration")
    removed = request.get("rootComponentsToRemove") or []
    if not isinstance(removed, list):
        raise InputError(source, "rootComponentsToRemove", "must be a list")
    components: dict[str, Wanted] = {}
    for name in [*versions, *(name for name in updates if name not in versions)]:
        path = f"componentToConfiguration.{name}"
        update = _object(source, path, updates.get(name) or {}, frozenset({"MERGE", "RESET"}))
        version = versions.get(name)
        components[name] = wanted(
            source, path, str(version) if version else None, update.get("RESET", []), update.get("MERGE", {})
        )
    return Deployment(
        name="local",
        source=source,
        components=components,
        replaces_all=False,
        remove=frozenset(map(str, removed)),
        recipes_from=_directory(source, request, "recipeDirectoryPath"),
        artifacts_from=_directory(source, request, "artifactsDirectoryPath"),
    )


def _mapping(source: str, request: Object, key: str) -> Object:
    value = request.get(key) or {}
    if not isinstance(value, dict):
        raise InputError(source, key, "must be an object")
    return value


def _directory(source: str, request: Object, key: str) -> Path | None:
    value = request.get(key)
    if not value:
        return None
    if not Path(str(value)).is_dir():
        raise InputError(source, key, f"{value} is no directory")
    return Path(str(value))
