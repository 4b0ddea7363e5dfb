"""Recipes and artifacts on disk: found in a build folder, copied under the root, unpacked."""

from __future__ import annotations

import shutil
import stat
import zipfile
from pathlib import Path

from gateway_sim.nucleus import recipes, versions
from gateway_sim.nucleus.errors import InputError, did_you_mean
from gateway_sim.nucleus.profiles import Profile
from gateway_sim.nucleus.recipes import Recipe
from gateway_sim.nucleus.variables import Places

_SUFFIXES = (".yaml", ".yml", ".json")


def find(folder: Path, name: str, version: str | None, requirements: list[str]) -> Path | None:
    """The recipe file of that version, or of the newest that meets the requirements, or None."""
    best: tuple[versions.Version, Path] | None = None
    for file in folder.glob(f"{name}-*") if folder.is_dir() else ():
        text = file.stem.removeprefix(f"{name}-")
        try:
            number = versions.parse(text)
        except ValueError:
            continue
        if file.suffix not in _SUFFIXES or (version is not None and text != version):
            continue
        if all(versions.satisfies(text, one) for one in requirements) and (best is None or number > best[0]):
            best = number, file
    return best[1] if best else None


def names(folder: Path) -> set[str]:
    """Components that have a recipe in the folder, with their versions."""
    return {file.stem for file in folder.glob("*") if file.suffix in _SUFFIXES} if folder.is_dir() else set()


def not_found(source: object, path: str, folder: Path, wanted: str) -> InputError:
    """The error for a component that no recipe is there for."""
    there = names(folder)
    hint = did_you_mean(wanted, there) if there else "the folder is missing or empty: run ./dev build"
    return InputError(source, path, f"no recipe for {wanted} in {folder}", hint)


def read(file: Path, name: str, profile: Profile, *, needs_lifecycle: bool) -> Recipe:
    """Read a recipe and make sure that it is the one its file's name says."""
    recipe = recipes.read(file, profile, needs_lifecycle=needs_lifecycle)
    if f"{recipe.name}-{recipe.version}" != file.stem:
        what = f"is of {recipe.name} {recipe.version}, not of what the file's name says"
        raise InputError(file, "ComponentName", what, f"expected {name}")
    return recipe


def check_artifacts(recipe: Recipe, artifacts: Path) -> None:
    """Raise InputError where a file that the recipe names is not there."""
    folder = artifacts / recipe.name / recipe.version
    for index, artifact in enumerate(recipe.artifacts):
        if not (folder / artifact.name).is_file():
            what = f"{artifact.name} is not in {folder}"
            raise InputError(recipe.file, f"Artifacts[{index}]", what, "run ./dev build")


def install(recipe: Recipe, artifacts: Path, places: Places) -> Path:
    """Copy recipe and artifacts under the root and unpack them; returns the recipe's copy. Blocking."""
    source = artifacts / recipe.name / recipe.version
    target = places.artifacts(recipe.name, recipe.version)
    unpacked = places.decompressed(recipe.name, recipe.version)
    target.mkdir(parents=True, exist_ok=True)
    unpacked.mkdir(parents=True, exist_ok=True)
    for artifact in recipe.artifacts:
        copy = target / artifact.name
        if not _same(source / artifact.name, copy):
            _copy(source / artifact.name, copy)
            if artifact.unzip:
                _unzip(copy, unpacked / copy.stem, recipe)
        for file in [copy, *(unpacked / copy.stem).rglob("*")] if artifact.executable else ():
            if file.is_file():
                file.chmod(file.stat().st_mode | stat.S_IXUSR | stat.S_IXGRP | stat.S_IXOTH)
    kept = places.recipe(recipe.name, recipe.version, recipe.file.suffix)
    kept.parent.mkdir(parents=True, exist_ok=True)
    if kept != recipe.file:
        shutil.copy2(recipe.file, kept)
    return kept


def _same(source: Path, copy: Path) -> bool:
    if not copy.exists():
        return False
    one, other = source.stat(), copy.stat()
    return (one.st_size, one.st_mtime_ns) == (other.st_size, other.st_mtime_ns)


def _copy(source: Path, copy: Path) -> None:
    fresh = copy.with_name(copy.name + ".new")
    shutil.copy2(source, fresh)
    fresh.replace(copy)


def _unzip(archive: Path, folder: Path, recipe: Recipe) -> None:
    fresh = folder.with_name(folder.name + ".new")
    shutil.rmtree(fresh, ignore_errors=True)
    try:
        with zipfile.ZipFile(archive) as content:
            content.extractall(fresh)
    except zipfile.BadZipFile as error:
        archive.unlink()
        raise InputError(recipe.file, "Artifacts", f"{archive.name} is no zip: {error}") from error
    shutil.rmtree(folder, ignore_errors=True)
    fresh.replace(folder)
