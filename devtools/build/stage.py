"""Puts every component's recipe and artifacts under greengrass-build/, whole or not at all.

recipes/<component>-<version>.yaml   recipes/recipe.yaml (the bundle, where gdk looks for it)
artifacts/<component>/<version>/<file>   build.json (what it was made from and what came out)
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from devtools.build.recipe import Recipe, fill_in, read_recipe
from devtools.build.wheels import BuildError, Target, wheelhouse
from devtools.build.zips import write_zip
from devtools.paths import project_version
from headgate.errors import Reject

RUNTIME = "headgate.Runtime"
RUNTIME_ZIP = "runtime.zip"
LOCK = "requirements/gateway.txt"
RECORD = "build.json"


@dataclass(frozen=True, slots=True)
class Bundle:
    """What gdk-config.json says of the component at the root."""

    component: str
    author: str
    version: str


def inputs_digest(root: Path, targets: Sequence[Target]) -> str:
    """SHA-256, hex, of everything a build depends on."""
    digest = hashlib.sha256("\n".join(map(str, sorted(targets))).encode())
    for path in _inputs(root):
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        digest.update(f"\n{path.relative_to(root).as_posix()} {content}".encode())
    return digest.hexdigest()


def is_current(build: Path, inputs: str) -> bool:
    """Whether `build` was made from these inputs and nobody changed it since."""
    try:
        record = json.loads((build / RECORD).read_text("utf-8"))
        files: Mapping[str, str] = record["files"]
        return bool(record["inputs"] == inputs) and files == _digests(build)
    except (OSError, ValueError, KeyError):
        return False


def stage(root: Path, build: Path, cache: Path, targets: Sequence[Target]) -> list[str]:
    """Build all components of the checkout `root` into `build`; return what is staged, in words.

    Raises Reject (faulty recipes, all faults at once) or BuildError (a download).
    """
    version = project_version(root)
    bundle = read_bundle(root, version)
    recipes = read_recipes(root)
    partial = build.with_name(build.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "recipes").mkdir(parents=True)
    said = []
    for recipe in recipes:
        component = bundle.component if recipe.component == "{COMPONENT_NAME}" else recipe.component
        text = fill_in(recipe.text, component, version, bundle.author)
        (partial / "recipes" / f"{component}-{version}.yaml").write_text(text, "utf-8")
        if component == bundle.component:
            (partial / "recipes" / "recipe.yaml").write_text(text, "utf-8")
        artifacts = partial / "artifacts" / component / version
        artifacts.mkdir(parents=True)
        for name in recipe.artifacts:
            if name == RUNTIME_ZIP:
                write_runtime(artifacts / name, root, version, targets, cache)
            else:
                artifacts.joinpath(name).write_bytes(_artifact_source(root, component, name).read_bytes())
        said.append(f"{component} {version}  {_sizes(artifacts)}".rstrip())
    record = {"inputs": inputs_digest(root, targets), "version": version, "files": _digests(partial)}
    (partial / RECORD).write_text(json.dumps(record, indent=1, sort_keys=True) + "\n", "utf-8")
    shutil.rmtree(build, ignore_errors=True)
    partial.rename(build)
    return said


def read_recipes(root: Path) -> list[Recipe]:
    """Every source recipe, judged. Raises one Reject with the faults of all of them."""
    recipes, refused = [], []
    for file in (root / "recipe.yaml", *sorted((root / "recipes").glob("*.yaml"))):
        try:
            recipes.append(
                read_recipe(
                    file,
                    file.relative_to(root).as_posix(),
                    lambda component, name: (
                        name == RUNTIME_ZIP or _artifact_source(root, component, name).is_file()
                    ),
                )
            )
        except Reject as error:
            refused.append(str(error))
    if refused:
        raise Reject("\n".join(refused))
    return recipes


def read_bundle(root: Path, version: str) -> Bundle:
    """The one component in gdk-config.json. Raises BuildError when its version is not the project's."""
    file = root / "gdk-config.json"
    try:
        ((component, about),) = json.loads(file.read_text("utf-8"))["component"].items()
        bundle = Bundle(component, about["author"], about["version"])
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise BuildError(
            f"gdk-config.json: expected one component with author and version ({error!r})"
        ) from None
    if bundle.version != version:
        raise BuildError(f"gdk-config.json: version {bundle.version!r} is not pyproject.toml's {version!r}")
    return bundle


def write_runtime(target: Path, root: Path, version: str, targets: Sequence[Target], cache: Path) -> None:
    """Write runtime.zip: the package, its locked requirements, their wheels, and what installs them."""
    wheels = wheelhouse(targets, root / LOCK, cache)
    entries = {f"wheelhouse/{wheel.name}": wheel for wheel in wheels}
    lock_digest = _digest_of([root / LOCK, *wheels])
    for path in _package(root):
        entries[path.relative_to(root).as_posix()] = path
    for path in _profiles(root):
        entries[f"headgate/profiles/{path.name}"] = path
    entries[LOCK] = root / LOCK
    entries["install.py"] = root / "components" / RUNTIME / "install.py"
    about = {
        "version": version,
        "digest": _digest_of(entries[name] for name in sorted(entries)),
        "lock_digest": lock_digest,
        "targets": [str(target) for target in sorted(targets)],
    }
    write_zip(target, {**entries, "runtime.json": json.dumps(about, indent=1).encode()})


def _profiles(root: Path) -> list[Path]:
    return sorted((root / "profiles").glob("*.yaml"))


def _package(root: Path) -> list[Path]:
    """What of `headgate` reaches a gateway: modules and the data files beside them."""
    found = (root / "headgate").rglob("*")
    return sorted(path for path in found if path.is_file() and not _is_litter(path))


def _is_litter(path: Path) -> bool:
    return "__pycache__" in path.parts or path.name.startswith(".")


def _artifact_source(root: Path, component: str, name: str) -> Path:
    """A component's own file, or the one all components share."""
    own = root / "components" / component / name
    return own if own.is_file() else root / "components" / name


def _inputs(root: Path) -> list[Path]:
    folders = [(root / folder).rglob("*") for folder in ("components", "recipes", "devtools/build")]
    files = [path for folder in folders for path in folder if path.is_file() and not _is_litter(path)]
    singles = [root / name for name in ("recipe.yaml", "gdk-config.json", "pyproject.toml", LOCK)]
    return sorted([*files, *singles, *_package(root), *_profiles(root)])


def _digest_of(paths: Iterable[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        digest.update(f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


def _digests(build: Path) -> dict[str, str]:
    """SHA-256 of each staged file, by path."""
    files = sorted(path for path in build.rglob("*") if path.is_file() and path.name != RECORD)
    return {
        path.relative_to(build).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }


def _sizes(artifacts: Path) -> str:
    return "  ".join(
        f"{path.name} {path.stat().st_size / 1000:,.0f} kB" for path in sorted(artifacts.iterdir())
    )
