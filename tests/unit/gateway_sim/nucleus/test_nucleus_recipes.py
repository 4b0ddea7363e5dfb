"""Recipes, variables, versions and deployment files of the simulated nucleus: taken, refused, and how."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway_sim.nucleus import deployment_file, recipes, versions
from gateway_sim.nucleus.errors import InputError
from gateway_sim.nucleus.jsonvalue import Json, Object
from gateway_sim.nucleus.profiles import CLASSIC, LITE, Profile
from gateway_sim.nucleus.variables import MissingVariableError, Places, interpolate

RECIPE = """
RecipeFormatVersion: 2020-01-25
ComponentName: a.B
ComponentVersion: 1.2.3
ComponentDescription: for tests
ComponentConfiguration:
  DefaultConfiguration: {port: 502, on: true, list: [1]}
ComponentDependencies:
  a.Hard: {VersionRequirement: ">=1.0.0 <2.0.0", DependencyType: HARD}
  a.Soft: {VersionRequirement: "^1.0.0", DependencyType: SOFT}
  a.Plain: {VersionRequirement: "*"}
Manifests:
  - Platform: {os: windows, runtime: "*"}
    Lifecycle: {run: dir}
  - Platform: {os: linux, runtime: "*"}
    Artifacts:
      - URI: s3://BUCKET_NAME/a.B/1.2.3/code.zip
        Unarchive: ZIP
        Permission: {Execute: ALL}
    Lifecycle:
      Setenv: {LEVEL: 3}
      install: echo hello
      run:
        Script: exec serve
        RequiresPrivilege: true
        Setenv: {DEEP: yes}
        Timeout: 30
      shutdown: echo bye
"""
BOTH = pytest.mark.parametrize("profile", [CLASSIC, LITE], ids=lambda profile: profile.name)


def write(directory: Path, text: str) -> Path:
    file = directory / "a.B-1.2.3.yaml"
    file.write_text(text)
    return file


def test_classic_reads_it(tmp_path: Path) -> None:
    recipe = recipes.read(write(tmp_path, RECIPE), CLASSIC)
    assert (recipe.name, recipe.version) == ("a.B", "1.2.3")
    assert recipe.defaults == {"port": 502, "on": True, "list": [1]}
    assert {name: one.kind for name, one in recipe.dependencies.items()} == {
        "a.Hard": "HARD", "a.Soft": "SOFT", "a.Plain": "HARD"
    }  # fmt: skip
    assert set(recipe.steps) == {"install", "run", "shutdown"}
    assert recipe.steps["run"].script == "exec serve"
    assert (recipe.steps["run"].timeout_s, recipe.setenv) == (30, {"LEVEL": "3"})
    assert recipe.artifacts == (recipes.Artifact("code.zip", unzip=True, executable=True),)


def test_lite_reads_every_scalar_as_text_and_knows_no_shutdown(tmp_path: Path) -> None:
    recipe = recipes.read(write(tmp_path, RECIPE), LITE)
    assert recipe.defaults == {"port": "502", "on": "true", "list": ["1"]}
    assert set(recipe.steps) == {"install", "run"}
    assert recipe.dependencies["a.Plain"].kind == "NONE"


def test_keys_ignore_case_in_classic_only(tmp_path: Path) -> None:
    file = write(tmp_path, RECIPE.replace("ComponentDescription", "componentdescription"))
    assert recipes.read(file, CLASSIC).name == "a.B"
    with pytest.raises(InputError, match="case-sensitive: write 'ComponentDescription'"):
        recipes.read(file, LITE)


@BOTH
@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "ComponentDescription:",
            "ComponentDescripton:",
            "ComponentDescripton: unknown key .*'ComponentDescription'",
        ),
        ("install: echo", "instal: echo", r"Manifests\[1\].Lifecycle.instal: unknown key .*'install'"),
        ("Unarchive: ZIP", "Unarchive: ZIPP", r"Artifacts\[0\].Unarchive: unknown value 'ZIPP' .*'ZIP'"),
        ("DependencyType: SOFT", "DependencyType: SOFTLY", "a.Soft.DependencyType: unknown type"),
        ('"^1.0.0"', '"one"', "a.Soft.VersionRequirement: 'one' is not a version requirement"),
        ("ComponentVersion: 1.2.3", "ComponentVersion: first", "ComponentVersion: 'first' is not a version"),
        ("s3://BUCKET_NAME/a.B/1.2.3/code.zip", "code.zip", r"Artifacts\[0\].URI: 'code.zip' names no file"),
        ("Timeout: 30", "Timeout: soon", "run.Timeout: 'soon' is no whole number"),
        ("Setenv: {LEVEL: 3}", "Setenv: [3]", "Setenv: must be an object, not a list"),
        ("2020-01-25", "2021-01-25", "RecipeFormatVersion: must be 2020-01-25"),
        ("ComponentName: a.B\n", "", "ComponentName: is missing"),
        ("{os: linux, runtime", "{os: darwin, runtime", "no manifest is for linux"),
        ("Manifests:", "Manifests: [", "does not parse"),
    ],
)
def test_what_is_wrong_is_named_with_file_and_place(
    tmp_path: Path, profile: Profile, old: str, new: str, expected: str
) -> None:
    assert old in RECIPE
    with pytest.raises(InputError, match=expected) as error:
        recipes.read(write(tmp_path, RECIPE.replace(old, new)), profile)
    assert "a.B-1.2.3.yaml" in str(error.value)


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("ComponentDescription: for tests\n", "", "broken unit"),
        ('{os: linux, runtime: "*"}', "{os: linux}", "lite skips one without a runtime"),
    ],
)
def test_what_only_lite_minds(tmp_path: Path, old: str, new: str, expected: str) -> None:
    file = write(tmp_path, RECIPE.replace(old, new))
    assert recipes.read(file, CLASSIC).steps
    with pytest.raises(InputError, match=expected):
        recipes.read(file, LITE)


def test_global_lifecycle_with_selections(tmp_path: Path) -> None:
    file = write(
        tmp_path,
        """
RecipeFormatVersion: "2020-01-25"
ComponentName: a.B
ComponentVersion: 1.2.3
ComponentDescription: d
Lifecycle:
  run: {fast: run fast, all: run}
  install: {windows: x}
Manifests:
  - {Platform: {os: linux, runtime: "*"}, Selections: [fast]}
""",
    )
    for profile in (CLASSIC, LITE):
        steps = recipes.read(file, profile).steps
        assert {name: step.script for name, step in steps.items()} == {"run": "run fast"}


@pytest.mark.parametrize(
    ("version", "requirement", "expected"),
    [
        ("1.2.3", "*", True), ("1.2.3", "1.2.3", True), ("1.2.3", "=1.2.4", False), ("1.2.3", "^1.0.0", True),
        ("2.0.0", "^1.0.0", False), ("0.2.0", "^0.1.0", False), ("1.2.9", "~1.2.3", True),
        ("1.3.0", "~1.2.3", False),
        ("1.5.0", ">=1.0.0 <2.0.0", True), ("2.0.0", ">=1.0.0 <2.0.0", False), ("1.2.3", "1.2", True),
    ],
)  # fmt: skip
def test_version_requirements(version: str, requirement: str, expected: bool) -> None:
    assert versions.satisfies(version, requirement) is expected


def resolved(script: str, *, lite: bool) -> str:
    def configuration(owner: str, path: tuple[str, ...]) -> Json:
        values: Object = {"a": "text", "n": 5}
        return values[path[0]]

    places = Places(Path("/g"), "gw-1", slash=lite)
    return interpolate(script, places, "a.B", {"a.B": "1.0.0", "o.C": "2.0.0"}, configuration, lite=lite)


def test_variables() -> None:
    script = "{artifacts:path}|{artifacts:decompressedPath}|{work:path}|{configuration:/a}{configuration:/n}"
    assert resolved(script, lite=False) == (
        "/g/packages/artifacts/a.B/1.0.0|/g/packages/artifacts-unarchived/a.B/1.0.0|/g/work/a.B|text5"
    )
    assert resolved(script, lite=True) == (
        "/g/packages/artifacts/a.B/1.0.0/|/g/packages/artifacts-unarchived/a.B/1.0.0/|/g/work/a.B/|text5"
    )
    assert resolved("{kernel:rootPath} {iot:thingName} ${HOME} {x:y} {artifacts:other}", lite=True) == (
        "/g gw-1 ${HOME} {x:y} {artifacts:other}"
    )


def test_other_components_variables_are_classics() -> None:
    assert resolved("{o.C:artifacts:path}", lite=False) == "/g/packages/artifacts/o.C/2.0.0"
    assert resolved("{o.C:artifacts:path}", lite=True) == "{o.C:artifacts:path}"


def test_a_missing_key_stays_in_classic_and_fails_in_lite() -> None:
    assert resolved("{configuration:/no}", lite=False) == "{configuration:/no}"
    with pytest.raises(MissingVariableError):
        resolved("{configuration:/no}", lite=True)


def test_a_deployment_file_with_its_merge_as_text(tmp_path: Path) -> None:
    file = tmp_path / "d.json"
    file.write_text(
        '{"deploymentName": "x", "components": {"a.B": {"componentVersion": "1.0.0",'
        ' "configurationUpdate": {"reset": ["/a"], "merge": "{\\"b\\": 1}"}}}}'
    )
    wanted = deployment_file.read(file, CLASSIC).components["a.B"]
    assert wanted == deployment_file.Wanted("1.0.0", ("/a",), {"b": 1})


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{", "is not JSON"),
        ("{}", "components: is missing"),
        ('{"component": {}}', "component: unknown key .*'components'"),
        ('{"components": {"a.B": {"version": "1"}}}', r"components\.a\.B\.version: unknown key"),
        ('{"components": {"a.B": {"configurationUpdate": {"Merge": {}}}}}', "did you mean 'merge'"),
        (
            '{"components": {"a.B": {"configurationUpdate": {"merge": "{"}}}}',
            "merge: is a string but not JSON",
        ),
        (
            '{"components": {"a.B": {"configurationUpdate": {"reset": ["a"]}}}}',
            r"reset\[0\]: 'a' is not a JSON",
        ),
    ],
)
def test_a_wrong_deployment_file(tmp_path: Path, text: str, expected: str) -> None:
    file = tmp_path / "d.json"
    file.write_text(text)
    with pytest.raises(InputError, match=expected):
        deployment_file.read(file, CLASSIC)


def test_lite_decodes_small_deployments_only(tmp_path: Path) -> None:
    file = tmp_path / "d.json"
    file.write_text('{"components": {"a.B": {"configurationUpdate": {"merge": {"x": "%s"}}}}}' % ("y" * 4100))
    assert deployment_file.read(file, CLASSIC).components
    with pytest.raises(InputError, match="lite decodes 4096 B"):
        deployment_file.read(file, LITE)
