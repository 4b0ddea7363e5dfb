"""Every rule for recipes: a recipe that breaks one is refused with the file, the path and a hint."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from devtools.build.recipe import fill_in, read_recipe
from headgate.errors import Reject

ROOT = Path(__file__).resolve().parents[3]
SOURCES = sorted((ROOT / "recipes").glob("*.yaml"))
PUBSUB = "ComponentConfiguration.DefaultConfiguration.accessControl.aws.greengrass.ipc.pubsub"
MQTT = "ComponentConfiguration.DefaultConfiguration.accessControl.aws.greengrass.ipc.mqttproxy"
PUBLISH = f"{PUBSUB}.headgate.Hub:pubsub-publish:3"


def judge(document: object, tmp_path: Path, *, artifacts: tuple[str, ...] = ("main.py", "launch.py")) -> str:
    """What is said of a recipe; nothing when it is accepted."""
    file = tmp_path / "headgate.Hub.yaml"
    file.write_text(
        document if isinstance(document, str) else yaml.safe_dump(document, sort_keys=False), "utf-8"
    )
    try:
        read_recipe(file, "recipes/headgate.Hub.yaml", lambda component, name: name in artifacts)
    except Reject as error:
        return str(error)
    return ""


def hub() -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((ROOT / "recipes/headgate.Hub.yaml").read_text("utf-8"))
    return document


def put(document: dict[str, Any], path: list[str | int], value: object) -> None:
    """Set or, with None, remove what is at `path`."""
    at: Any = document
    for step in path[:-1]:
        at = at[step]
    if value is None:
        del at[path[-1]]
    else:
        at[path[-1]] = value


LINUX: list[str | int] = ["Manifests", 0]
CONFIG: list[str | int] = ["ComponentConfiguration", "DefaultConfiguration"]
PUB: list[str | int] = [
    *CONFIG,
    "accessControl",
    "aws.greengrass.ipc.pubsub",
    "headgate.Hub:pubsub-publish:3",
]
CLOUD: list[str | int] = [
    *CONFIG,
    "accessControl",
    "aws.greengrass.ipc.mqttproxy",
    "headgate.Hub:mqttproxy-subscribe:3",
]
RUN = "Manifests[0].Lifecycle.run.Script"

FAULTS: list[tuple[list[str | int], object, str, str]] = [
    (["Manifest"], [], "Manifest: unknown key", "did you mean 'Manifests'?"),
    (["RecipeFormatVersion"], "2021-01-01", "RecipeFormatVersion: '2021-01-01' is not allowed", "2020-01-25"),
    (["ComponentName"], "headgate.Hob", "ComponentName: is 'headgate.Hob'", "'headgate.Hub'"),
    (["ComponentVersion"], "1.0.0", "ComponentVersion: '1.0.0' is not allowed", "COMPONENT_VERSION"),
    (
        ["ComponentType"],
        "aws.greengrass.lambda",
        "ComponentType: unknown 'aws.greengrass.lambda'",
        "known are",
    ),
    (["ComponentDescription"], None, "ComponentDescription: is missing", ""),
    (["ComponentDescription"], " ", "ComponentDescription: ' ' is not allowed", "nucleus lite"),
    (["ComponentPublisher"], None, "ComponentPublisher: is missing", ""),
    (
        ["ComponentDependencies", "headgate.Runtime", "DependencyType"],
        None,
        "ComponentDependencies.headgate.Runtime.DependencyType: is missing",
        "",
    ),
    (
        ["ComponentDependencies", "headgate.Runtime", "DependencyType"],
        "SOFTLY",
        "ComponentDependencies.headgate.Runtime.DependencyType: unknown 'SOFTLY'",
        "did you mean 'SOFT'?",
    ),
    (
        ["ComponentDependencies", "headgate.Runtime", "VersionRequirement"],
        "~0.1.0",
        "ComponentDependencies.headgate.Runtime.VersionRequirement: '~0.1.0'",
        "nucleus lite reads no other",
    ),
    (["Manifests"], [], "Manifests: none is for linux", ""),
    ([*LINUX, "Platform", "runtime"], None, "Manifests[0].Platform.runtime: is missing", ""),
    ([*LINUX, "Platform", "runtime"], "java", "Manifests[0].Platform.runtime: 'java'", "nucleus lite skips"),
    ([*LINUX, "Platform", "os"], "darwin", "Manifests[0].Platform.os: unknown 'darwin'", "linux, windows"),
    (
        [*LINUX, "Platform", "architecture"],
        "arm64",
        "Manifests[0].Platform.architecture: unknown 'arm64'",
        "known are aarch64, amd64",
    ),
    (["Manifests", 1], None, "Manifests: none is for windows", ""),
    ([*LINUX, "Lifecycle", "Run"], "x", "Manifests[0].Lifecycle.Run: unknown key", "did you mean 'run'?"),
    ([*LINUX, "Lifecycle", "startup"], "x", "Manifests[0].Lifecycle.startup: is not portable", "use run"),
    (
        [*LINUX, "Lifecycle", "run"],
        None,
        "Manifests[0].Lifecycle.install: is missing",
        "nucleus lite needs one",
    ),
    ([*LINUX, "Lifecycle", "run", "Skipif"], "x", "Manifests[0].Lifecycle.run.Skipif: unknown key", ""),
    ([*LINUX, "Lifecycle", "run", "Timeout"], "soon", "Manifests[0].Lifecycle.run.Timeout: expected a", ""),
    (
        [*LINUX, "Lifecycle", "run", "Script"],
        "{work:path}x",
        f"{RUN}: {{work:path}} runs into 'x'",
        "a / between",
    ),
    (
        [*LINUX, "Lifecycle", "run", "Script"],
        "{work:root}",
        f"{RUN}: unknown variable {{work:root}}",
        "work:path",
    ),
    (
        [*LINUX, "Artifacts", 0, "URI"],
        "x",
        "Manifests[0].Artifacts[0].URI: unknown key",
        "did you mean 'Uri'?",
    ),
    (
        [*LINUX, "Artifacts", 0, "Uri"],
        "s3://mine/x",
        "Manifests[0].Artifacts[0].Uri: 's3://mine/x'",
        "BUCKET_NAME",
    ),
    (
        [*LINUX, "Artifacts", 0, "Uri"],
        "s3://BUCKET_NAME/COMPONENT_NAME/COMPONENT_VERSION/mane.py",
        "Manifests[0].Artifacts[0].Uri: the build makes no 'mane.py' for headgate.Hub",
        "components/headgate.Hub/mane.py",
    ),
    ([*LINUX, "Artifacts", 0, "Unarchive"], "TAR", "Manifests[0].Artifacts[0].Unarchive: unknown 'TAR'", ""),
    ([*CONFIG, "stateRot"], "x", "ComponentConfiguration.DefaultConfiguration.stateRot: unknown key", ""),
    (
        [*PUB[:-2], "aws.greengrass.ipc.pubsb"],
        {},
        "accessControl.aws.greengrass.ipc.pubsb: unknown key",
        "pubsub",
    ),
    (
        [*PUB[:-1], "hub"],
        {"policyDescription": "x", "operations": ["aws.greengrass#PublishToTopic"], "resources": ["a"]},
        f"{PUBSUB}.hub: is no policy id",
        "with a revision",
    ),
    ([*PUB, "resource"], ["a"], f"{PUBLISH}.resource: unknown key", "did you mean 'resources'?"),
    ([*PUB, "resources"], None, f"{PUBLISH}.resources: is missing", ""),
    ([*PUB, "resources"], [], f"{PUBLISH}.resources: expected a list of texts", ""),
    ([*PUB, "resources", 0], "*", f"{PUBLISH}.resources[0]: '*' allows everything", "name the topics"),
    ([*PUB, "resources", 0], "a/+/b", f"{PUBLISH}.resources[0]: '+' is taken literally in pubsub", "*"),
    ([*PUB, "resources", 0], "a/${x}", f"{PUBLISH}.resources[0]: ${{x}} is no escape", ""),
    (
        [*PUB, "resources", 0],
        "a/{iot:thingName}",
        f"{PUBLISH}.resources[0]: 'a/{{iot:thingName}}' holds",
        "+",
    ),
    (
        [*PUB, "operations", 0],
        "aws.greengrass#Publish",
        f"{PUBLISH}.operations[0]: unknown",
        "PublishToTopic",
    ),
    ([*PUB, "operations", 0], 7, f"{PUBLISH}.operations[0]: expected text", ""),
    (
        [*CLOUD, "resources", 0],
        "hg/v1/a+/dn",
        "subscribe:3.resources[0]: 'a+' is no wildcard",
        "whole levels",
    ),
]


@pytest.mark.parametrize(("path", "value", "said", "hint"), FAULTS)
def test_a_fault_is_refused(
    path: list[str | int], value: object, said: str, hint: str, tmp_path: Path
) -> None:
    document = hub()
    put(document, path, value)
    problem = judge(document, tmp_path)
    assert "recipes/headgate.Hub.yaml" in problem
    assert said in problem
    assert hint in problem


def test_all_faults_are_told_at_once(tmp_path: Path) -> None:
    document = hub()
    document["ComponentDescription"] = 7
    document["Manifests"][0]["Platform"]["runtime"] = "java"
    document["Manifests"][1]["Artifacts"][1]["Uri"] = "x"
    problem = judge(document, tmp_path)
    assert "3 problems" in problem
    assert all(
        path in problem for path in ("ComponentDescription", "Manifests[0].Platform", "Manifests[1].Artif")
    )


@pytest.mark.parametrize("text", ["a: [", "- 1", "a: 1\na: 2", ""])
def test_what_is_no_recipe_is_refused(text: str, tmp_path: Path) -> None:
    assert "recipes/headgate.Hub.yaml: " in judge(text, tmp_path)


def test_a_key_written_twice_is_named_with_its_line(tmp_path: Path) -> None:
    assert "line 3: 'a' is written twice" in judge("a: 1\nb: 2\na: 3\n", tmp_path)


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: file.stem)
def test_every_source_recipe_is_accepted(file: Path) -> None:
    recipe = read_recipe(file, f"recipes/{file.name}", lambda component, name: True)
    assert recipe.component == file.stem


def test_placeholders_are_filled_in_but_for_the_bucket() -> None:
    text = "{COMPONENT_NAME} {COMPONENT_VERSION} {NEXT_MINOR_VERSION} s3://BUCKET_NAME/COMPONENT_NAME/COMPONENT_VERSION/x"
    filled = fill_in(text, "headgate.Hub", "1.9.3", "Headgate")
    assert filled == "headgate.Hub 1.9.3 1.10.0 s3://BUCKET_NAME/headgate.Hub/1.9.3/x"
