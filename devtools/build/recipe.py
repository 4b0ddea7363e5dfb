"""Reads a source recipe and judges it: what both nuclei accept and understand the same way, and nothing else.

Every fault is told at once with its path. Keys are the recipe reference's, spelled as nucleus lite wants them
(it is case-sensitive: `Uri`, not `URI`). https://docs.aws.amazon.com/greengrass/v2/developerguide/component-recipe-reference.html
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from devtools.build.policy import check_access_control
from headgate.config.reader import Problems, Section
from headgate.errors import Reject

PLACE = "s3://BUCKET_NAME/COMPONENT_NAME/COMPONENT_VERSION/"
"""Where every artifact's Uri starts; gdk fills it in when it publishes."""

PHASES = ("install", "run")
"""The lifecycle phases in use."""

NOT_PORTABLE = {
    "startup": "fails on Debian 12 under nucleus lite; use run",
    "shutdown": "nucleus lite has none; end on SIGTERM",
    "recover": "nucleus lite has none",
    "uninstall": "nucleus lite has none",
    "bootstrap": "restarts the nucleus, or the machine",
}
"""Known phases that a recipe here must do without, and why."""

VARIABLES = ("artifacts:path", "artifacts:decompressedPath", "work:path", "kernel:rootPath", "iot:thingName")
"""Recipe variables that both nuclei fill in."""

REQUIREMENT = re.compile(r"(>=|<=|>|<|=)?[{\d]\S*( (>=|<=|>|<|=)[{\d]\S*)*")
"""Version requirements that nucleus lite reads (modules/ggl-semver); it knows neither ~ nor ^."""

_VARIABLE = re.compile(r"\{([a-zA-Z]+:[^{}]*)\}(.?)")


@dataclass(frozen=True, slots=True)
class Recipe:
    """A judged source recipe."""

    component: str
    text: str
    artifacts: tuple[str, ...]
    """File names, sorted."""


class _Loader(yaml.SafeLoader):
    """Refuses a key that is written twice, which YAML itself would take silently."""


def _mapping(loader: _Loader, node: yaml.MappingNode) -> dict[object, object]:
    seen: set[str] = set()
    for key, _ in node.value:
        if key.value in seen:
            line = key.start_mark.line + 1
            raise yaml.constructor.ConstructorError(
                None, None, f"line {line}: {key.value!r} is written twice"
            )
        seen.add(key.value)
    return dict(loader.construct_mapping(node, deep=True))


_Loader.add_constructor("tag:yaml.org,2002:map", _mapping)


def read_recipe(file: Path, name: str, has_artifact: Callable[[str, str], bool]) -> Recipe:
    """Read and judge the recipe in `file`; faults call it `name`.

    `has_artifact(component, file name)` says whether the build makes that artifact.
    Raises Reject with every fault.
    """
    problems = Problems(name)
    text = file.read_text("utf-8")
    try:
        document: object = yaml.load(text, _Loader)
    except yaml.YAMLError as error:
        raise Reject(f"{name}: is no YAML: {' '.join(str(error).split())}") from None
    top = Section(document, "", problems)
    top.text("RecipeFormatVersion", pattern="2020-01-25", hint='"2020-01-25", in quotes')
    component = top.text("ComponentName")
    expected = "{COMPONENT_NAME}" if name == "recipe.yaml" else file.stem
    if component != expected:
        top.fault("ComponentName", f"is {component!r}", f"the file's name asks for {expected!r}")
    top.text(
        "ComponentVersion",
        pattern=r"\{COMPONENT_VERSION\}",
        hint='"{COMPONENT_VERSION}"; the build fills it in',
    )
    top.choice("ComponentType", ("aws.greengrass.generic",))
    for key in ("ComponentDescription", "ComponentPublisher"):
        top.text(key, pattern=r"(?s).*\S.*", hint="some words; nucleus lite needs a description")
    _dependencies(top.section("ComponentDependencies"))
    configuration = top.section("ComponentConfiguration")
    defaults = configuration.section("DefaultConfiguration")
    if defaults.has("accessControl"):
        check_access_control(defaults.section("accessControl"), component, problems)
    if defaults.has("schema"):
        defaults.integer("schema", low=1, high=1)
    defaults.close()
    configuration.close()
    artifacts = _manifests(top, component, has_artifact)
    top.close()
    problems.reject_if_any()
    return Recipe(component, text, tuple(sorted(artifacts)))


def fill_in(text: str, component: str, version: str, author: str) -> str:
    """The recipe as it is staged: every placeholder but the bucket, which publishing knows, is filled in."""
    major, minor, _ = version.split(".", 2)
    values = {
        "{COMPONENT_NAME}": component,
        "{COMPONENT_VERSION}": version,
        "{NEXT_MINOR_VERSION}": f"{major}.{int(minor) + 1}.0",
        "{COMPONENT_AUTHOR}": author,
        "COMPONENT_NAME/COMPONENT_VERSION": f"{component}/{version}",
    }
    for placeholder, value in values.items():
        text = text.replace(placeholder, value)
    return text


def _dependencies(dependencies: Section) -> None:
    for component in dict(dependencies.items()):
        dependency = dependencies.section(component)
        requirement = dependency.text("VersionRequirement")
        if requirement and not REQUIREMENT.fullmatch(requirement):
            hint = ">, >=, <, <=, = or a version, with spaces between; nucleus lite reads no other"
            dependency.fault("VersionRequirement", f"{requirement!r} is not allowed here", hint)
        dependency.choice("DependencyType", ("HARD", "SOFT"))
        dependency.close()


def _manifests(top: Section, component: str, has_artifact: Callable[[str, str], bool]) -> set[str]:
    artifacts: set[str] = set()
    systems = set()
    for manifest in top.sections("Manifests", required=True):
        manifest.text("Name", "")
        platform = manifest.section("Platform", required=True)
        systems.add(platform.choice("os", ("linux", "windows")))
        platform.text("runtime", pattern=r"\*", hint='"*"; nucleus lite skips a manifest without it')
        if platform.has("architecture"):
            platform.choice("architecture", ("aarch64", "amd64"))
        platform.close()
        _lifecycle(manifest.section("Lifecycle", required=True))
        for artifact in manifest.sections("Artifacts"):
            uri = artifact.text("Uri", pattern=re.escape(PLACE) + r"[A-Za-z0-9_.-]+", hint=f"{PLACE}<file>")
            file = uri.removeprefix(PLACE)
            if file != uri and not has_artifact(component, file):
                artifact.fault(
                    "Uri", f"the build makes no {file!r} for {component}", f"components/{component}/{file}"
                )
            artifacts.add(file)
            artifact.choice("Unarchive", ("ZIP", "NONE"), "NONE")
            artifact.close()
        manifest.close()
    for system in ("linux", "windows"):
        if system not in systems:
            top.fault("Manifests", f"none is for {system}", "each component says what it does on both")
    return artifacts


def _lifecycle(lifecycle: Section) -> None:
    for phase, why in NOT_PORTABLE.items():
        if lifecycle.has(phase):
            lifecycle.fault(phase, "is not portable", why)
    if not any(lifecycle.has(phase) for phase in PHASES):
        lifecycle.fault(PHASES[0], "is missing, and so is every other phase", "nucleus lite needs one")
    for phase in filter(lifecycle.has, PHASES):
        if isinstance(lifecycle.value(phase), Mapping):
            section = lifecycle.section(phase)
            _script(section.text("Script"), section.at("Script"), lifecycle.problems)
            if section.has("Timeout"):
                section.integer("Timeout", low=1, high=86_400)
            section.boolean("RequiresPrivilege", default=False)
            for variable in dict(section.section("Setenv").items()):
                section.section("Setenv").text(variable)
            section.close()
        else:
            _script(lifecycle.text(phase), lifecycle.at(phase), lifecycle.problems)
    lifecycle.close()


def _script(script: str, path: str, problems: Problems) -> None:
    for variable, after in _VARIABLE.findall(script):
        if variable not in VARIABLES:
            problems.add(path, f"unknown variable {{{variable}}}", "both nuclei know " + ", ".join(VARIABLES))
        elif variable.endswith("ath") and after not in {"/", "\\", "", '"', "'", " "}:
            hint = "a / between, since only nucleus lite ends a path with one"
            problems.add(path, f"{{{variable}}} runs into {after!r}", hint)
