"""Staging: the same bytes every time, nothing done twice, nothing half done."""

from __future__ import annotations

import hashlib
import json
import shutil
import zipfile
from pathlib import Path

import pytest
import yaml

from devtools.build.stage import inputs_digest, is_current, read_bundle, stage
from devtools.build.wheels import BuildError, Target
from devtools.build.zips import write_zip
from headgate.errors import Reject

ROOT = Path(__file__).resolve().parents[3]
TARGET = Target("x86_64", "3.11")
COMPONENTS = {
    "headgate.AllInOne",
    "headgate.BleBridge",
    "headgate.Bundle",
    "headgate.FileCourier",
    "headgate.Hub",
    "headgate.ModbusBridge",
    "headgate.Runtime",
}


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small checkout whose wheels are in the cache already."""
    root = tmp_path / "checkout"
    litter = shutil.ignore_patterns("__pycache__")
    for folder in ("components", "recipes", "requirements", "devtools", "profiles"):
        shutil.copytree(ROOT / folder, root / folder, ignore=litter)
    for name in ("recipe.yaml", "gdk-config.json", "pyproject.toml"):
        shutil.copy(ROOT / name, root / name)
    (root / "headgate").mkdir()
    (root / "headgate/__init__.py").write_text('"""The package."""\n', "utf-8")
    lock = root / "requirements/gateway.txt"
    lock.write_text("thing==1.0\n", "utf-8")
    for target in (TARGET, Target("aarch64", "3.13")):
        give_wheels(root, lock, target)
    return root


def give_wheels(root: Path, lock: Path, target: Target) -> None:
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    wheels = root / ".cache/wheels" / f"{target}-{digest}"
    wheels.mkdir(parents=True)
    (wheels / f"thing-1.0-{target.abi}.whl").write_bytes(b"wheel for " + str(target).encode())


def build(root: Path, *targets: Target) -> Path:
    stage(root, root / "greengrass-build", root / ".cache", targets or (TARGET,))
    return root / "greengrass-build"


def staged(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_two_builds_are_the_same_to_the_byte(checkout: Path, tmp_path: Path) -> None:
    first = staged(build(checkout))
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(checkout, elsewhere, ignore=shutil.ignore_patterns("greengrass-build"))
    for path in elsewhere.rglob("*.py"):
        path.touch()
        path.chmod(0o600)
    assert staged(build(elsewhere)) == first


def test_a_build_is_current_until_an_input_or_an_output_changes(checkout: Path) -> None:
    folder = checkout / "greengrass-build"

    def current() -> bool:
        return is_current(folder, inputs_digest(checkout, (TARGET,)))

    assert not current()
    build(checkout)
    assert current()
    assert not is_current(folder, inputs_digest(checkout, (Target("aarch64", "3.11"),)))
    for changed in ("headgate/__init__.py", "recipes/headgate.Hub.yaml", "components/launch.py"):
        path = checkout / changed
        before = path.read_bytes()
        path.write_bytes(before + b"\n")
        assert not current(), changed
        path.write_bytes(before)
    assert current()
    next(folder.rglob("main.py")).unlink()
    assert not current()


def test_every_component_is_staged_in_the_shape_local_deployment_takes(checkout: Path) -> None:
    folder = build(checkout)
    for component in COMPONENTS:
        recipe = yaml.safe_load((folder / f"recipes/{component}-0.1.0.yaml").read_text("utf-8"))
        assert recipe["ComponentName"] == component
        assert recipe["ComponentVersion"] == "0.1.0"
        assert (folder / "artifacts" / component / "0.1.0").is_dir()
        for manifest in recipe["Manifests"]:
            for artifact in manifest.get("Artifacts", []):
                at = artifact["Uri"].removeprefix("s3://BUCKET_NAME/")
                assert (folder / "artifacts" / at).is_file()
    assert (folder / "recipes/recipe.yaml").read_bytes() == (
        folder / "recipes/headgate.Bundle-0.1.0.yaml"
    ).read_bytes()


def test_the_runtime_holds_package_lock_wheels_and_installer(checkout: Path) -> None:
    folder = build(checkout, TARGET, Target("aarch64", "3.13"))
    with zipfile.ZipFile(folder / "artifacts/headgate.Runtime/0.1.0/runtime.zip") as archive:
        names = archive.namelist()
        about = json.loads(archive.read("runtime.json"))
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    assert names == sorted(names)
    assert {"headgate/__init__.py", "requirements/gateway.txt", "install.py"} <= set(names)
    profiles = {f"headgate/profiles/{path.name}" for path in (ROOT / "profiles").glob("*.yaml")}
    assert profiles == {name for name in names if name.startswith("headgate/profiles/")}
    assert {name for name in names if name.startswith("wheelhouse/")} == {
        "wheelhouse/thing-1.0-cp311.whl",
        "wheelhouse/thing-1.0-cp313.whl",
    }
    assert about["targets"] == ["aarch64-cp313", "x86_64-cp311"]
    assert len(about["digest"]) == 64


def test_faults_of_all_recipes_are_told_and_the_old_build_stays(checkout: Path) -> None:
    before = staged(build(checkout))
    for name in ("headgate.Hub", "headgate.Runtime"):
        path = checkout / f"recipes/{name}.yaml"
        path.write_text(path.read_text("utf-8") + "Extra: 1\n", "utf-8")
    with pytest.raises(Reject) as refused:
        build(checkout)
    assert "recipes/headgate.Hub.yaml" in str(refused.value)
    assert "recipes/headgate.Runtime.yaml" in str(refused.value)
    assert staged(checkout / "greengrass-build") == before


def test_a_version_in_two_places_must_be_the_same(checkout: Path) -> None:
    path = checkout / "gdk-config.json"
    path.write_text(path.read_text("utf-8").replace("0.1.0", "0.2.0"), "utf-8")
    with pytest.raises(BuildError, match=r"version '0\.2\.0' is not pyproject\.toml's '0\.1\.0'"):
        read_bundle(checkout, "0.1.0")


def test_a_zip_does_not_depend_on_the_order_it_is_given(tmp_path: Path) -> None:
    write_zip(tmp_path / "a.zip", {"b": b"2", "a": b"1"})
    write_zip(tmp_path / "b.zip", {"a": b"1", "b": b"2"})
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()
