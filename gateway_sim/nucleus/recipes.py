"""A component's recipe, read and checked, reduced to what runs on this platform and nucleus."""

from __future__ import annotations

import platform
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from gateway_sim.nucleus import recipe_shape, versions
from gateway_sim.nucleus.errors import InputError, did_you_mean
from gateway_sim.nucleus.jsonvalue import Json, Object
from gateway_sim.nucleus.profiles import Profile

FORMAT_VERSION = "2020-01-25"
_KINDS: dict[str, Literal["HARD", "SOFT"]] = {"HARD": "HARD", "SOFT": "SOFT"}
_OS = "linux"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "aarch64", "armv7l": "arm", "arm64": "aarch64"}
_CLASSIC_ONLY = ("shutdown", "recover", "uninstall", "bootstrap")
DEFAULT_TIMEOUT_S = {"install": 120.0, "startup": 120.0, "shutdown": 15.0, "recover": 60.0}


@dataclass(frozen=True, slots=True)
class Step:
    """One phase of the lifecycle."""

    script: str
    setenv: dict[str, str]
    timeout_s: float | None
    skip_if: str | None


@dataclass(frozen=True, slots=True)
class Artifact:
    """One file of the component; the last part of the URI is its name."""

    name: str
    unzip: bool
    executable: bool


@dataclass(frozen=True, slots=True)
class Dependency:
    """What else must be deployed: HARD waits for it and restarts with it, SOFT orders, NONE does neither."""

    requirement: str
    kind: Literal["HARD", "SOFT", "NONE"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What the nucleus needs to know of one version of a component."""

    name: str
    version: str
    file: Path
    defaults: Object
    dependencies: dict[str, Dependency]
    steps: dict[str, Step]
    artifacts: tuple[Artifact, ...]
    setenv: dict[str, str] = field(default_factory=dict)


def read(file: Path, profile: Profile, *, needs_lifecycle: bool = True) -> Recipe:
    """Read, check and reduce a recipe; raise InputError that names file, place and the way out."""
    raw = recipe_shape.load(file, scalars_are_strings=profile.lite)
    checker = recipe_shape.Checker(file, case_sensitive=profile.lite, selections=_selections(raw))
    document = checker.object(raw, recipe_shape.RECIPE, "")
    for key in ("RecipeFormatVersion", "ComponentName", "ComponentVersion"):
        if key not in document:
            raise InputError(file, key, "is missing")
    if document["RecipeFormatVersion"] != FORMAT_VERSION:
        raise InputError(file, "RecipeFormatVersion", f"must be {FORMAT_VERSION}")
    if profile.lite and not document.get("ComponentDescription"):
        raise InputError(
            file, "ComponentDescription", "is missing", "nucleus lite writes a broken unit without it"
        )
    try:
        versions.parse(str(document["ComponentVersion"]))
    except ValueError as error:
        raise InputError(file, "ComponentVersion", str(error)) from error
    manifest = _manifest(document, file, profile)
    setenv, steps = _lifecycle(document, manifest, file, profile)
    if profile.lite and needs_lifecycle and not steps:
        raise InputError(
            file, "Manifests", "no lifecycle phase", "lite needs one; give a bundle a no-op install"
        )
    configuration = _object(document, "ComponentConfiguration")
    return Recipe(
        name=str(document["ComponentName"]),
        version=str(document["ComponentVersion"]),
        file=file,
        defaults=_object(configuration, "DefaultConfiguration"),
        dependencies=_dependencies(document, file, profile),
        steps=steps,
        artifacts=_artifacts(manifest, file),
        setenv=setenv,
    )


def _object(parent: Object, key: str) -> Object:
    value = parent.get(key)
    return value if isinstance(value, dict) else {}


def _objects(parent: Object, key: str) -> list[Object]:
    value = parent.get(key)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _selections(raw: Object) -> frozenset[str]:
    names = {"all", _OS, "windows", "darwin"}
    for key, manifests in raw.items():
        if str(key).lower() == "manifests" and isinstance(manifests, list):
            for manifest in manifests:
                chosen = manifest.get("Selections") if isinstance(manifest, dict) else None
                names |= {str(name).lower() for name in chosen} if isinstance(chosen, list) else set()
    return frozenset(names)


def _manifest(document: Object, file: Path, profile: Profile) -> Object:
    manifests = _objects(document, "Manifests")
    for manifest in manifests:
        if _matches(_object(manifest, "Platform"), profile):
            return manifest
    if not manifests and not profile.lite:
        return {}
    what = f"no manifest is for {_OS}, {_architecture()} and nucleus {profile.name}"
    hint = (
        'lite skips one without a runtime: write Platform: {os: linux, runtime: "*"}' if profile.lite else ""
    )
    raise InputError(file, "Manifests", what, hint)


def _architecture() -> str:
    return _ARCHITECTURES.get(platform.machine(), platform.machine())


def _matches(wanted: Object, profile: Profile) -> bool:
    if profile.lite and "runtime" not in wanted:
        return False
    runtime = "aws_nucleus_lite" if profile.lite else "aws_nucleus_classic"
    have = {"os": _OS, "architecture": _architecture(), "runtime": runtime}
    return all(_attribute(str(value), have.get(key)) for key, value in wanted.items())


def _attribute(wanted: str, have: str | None) -> bool:
    if wanted in ("*", "all") or wanted == have:
        return True
    pattern = re.fullmatch(r"/(.*)/", wanted)
    return pattern is not None and re.fullmatch(pattern[1], have or "") is not None


def _lifecycle(
    document: Object, manifest: Object, file: Path, profile: Profile
) -> tuple[dict[str, str], dict[str, Step]]:
    section = _object(manifest, "Lifecycle") or _object(document, "Lifecycle")
    chosen = manifest.get("Selections")
    wanted = [str(name).lower() for name in chosen] if isinstance(chosen, list) else []
    steps: dict[str, Step] = {}
    for name, body in section.items():
        if name == "Setenv" or not isinstance(body, dict) or (profile.lite and name in _CLASSIC_ONLY):
            continue
        selected = _selected(body, [*wanted, _OS, "all"])
        if selected is not None and selected.get("Script"):
            steps[name] = _step(name, selected, file, profile)
    return _texts(_object(section, "Setenv")), steps


def _selected(body: Object, names: list[str]) -> Object | None:
    if "*" not in body:
        return body
    options = _object(body, "*")
    return next((_object(options, name) for name in names if name in options), None)


def _step(name: str, body: Object, file: Path, profile: Profile) -> Step:
    timeout = body.get("Timeout")
    if timeout is not None and not str(timeout).isdecimal():
        raise InputError(file, f"Lifecycle.{name}.Timeout", f"{timeout!r} is no whole number of seconds")
    skip_if = None if profile.lite else body.get("Skipif")
    return Step(
        script=str(body["Script"]),
        setenv=_texts(_object(body, "Setenv")),
        timeout_s=float(str(timeout)) if timeout is not None else DEFAULT_TIMEOUT_S.get(name),
        skip_if=None if skip_if is None else str(skip_if),
    )


def _texts(values: Object) -> dict[str, str]:
    return {key: _scalar_text(value) for key, value in values.items()}


def _scalar_text(value: Json) -> str:
    return ("true" if value else "false") if isinstance(value, bool) else str(value)


def _dependencies(document: Object, file: Path, profile: Profile) -> dict[str, Dependency]:
    result: dict[str, Dependency] = {}
    for name, body in _object(document, "ComponentDependencies").items():
        assert isinstance(body, dict)
        omitted: Literal["HARD", "NONE"] = "NONE" if profile.lite else "HARD"
        given = str(body.get("DependencyType", omitted)).upper()
        kind = _KINDS.get(given, omitted if "DependencyType" not in body else None)
        if kind is None:
            where = f"ComponentDependencies.{name}.DependencyType"
            raise InputError(file, where, f"unknown type {given!r}", did_you_mean(given, _KINDS))
        requirement = str(body.get("VersionRequirement", "*"))
        try:
            versions.satisfies("1.0.0", requirement)
        except ValueError as error:
            raise InputError(file, f"ComponentDependencies.{name}.VersionRequirement", str(error)) from error
        result[name] = Dependency(requirement, kind)
    return result


def _artifacts(manifest: Object, file: Path) -> tuple[Artifact, ...]:
    artifacts: list[Artifact] = []
    for index, body in enumerate(_objects(manifest, "Artifacts")):
        where = f"Artifacts[{index}]"
        uri = str(body.get("URI", ""))
        if not uri.startswith(("s3://", "greengrass:", "file:")) or not uri.rpartition("/")[2]:
            raise InputError(
                file, f"{where}.URI", f"{uri!r} names no file", "write s3://BUCKET_NAME/NAME/VERSION/file"
            )
        unarchive = str(body.get("Unarchive", "NONE")).upper()
        if unarchive not in ("NONE", "ZIP"):
            hint = did_you_mean(unarchive, ("NONE", "ZIP"))
            raise InputError(file, f"{where}.Unarchive", f"unknown value {unarchive!r}", hint)
        execute = str(_object(body, "Permission").get("Execute", "NONE")).upper()
        artifacts.append(Artifact(uri.rpartition("/")[2], unarchive == "ZIP", execute != "NONE"))
    return tuple(artifacts)
