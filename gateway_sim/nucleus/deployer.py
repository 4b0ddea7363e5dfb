"""Carries a deployment out: resolve, check everything, then put it in force at once, or change nothing."""

from __future__ import annotations

import asyncio
import logging
import uuid
from dataclasses import dataclass, replace
from pathlib import Path

from gateway_sim.nucleus import deployment_file, packages, versions
from gateway_sim.nucleus.config_store import ConfigStore, now_ms
from gateway_sim.nucleus.config_tree import ConfigTree
from gateway_sim.nucleus.deployment_file import Deployment, Wanted
from gateway_sim.nucleus.errors import InputError, InvalidArgumentsError, IpcError, ServiceError
from gateway_sim.nucleus.jsonvalue import Json, Object
from gateway_sim.nucleus.recipes import Recipe
from gateway_sim.nucleus.supervisor import Settings, Supervisor

log = logging.getLogger("nucleus.deployment")
_OF_THE_NUCLEUS = (
    "aws.greengrass.Nucleus",
    "aws.greengrass.NucleusLite",
    "aws.greengrass.TokenExchangeService",
)
MAX_QUEUED = 8


@dataclass(slots=True)
class Plan:
    """What is to be, all of it checked."""

    recipes: dict[str, Recipe]
    roots: set[str]
    artifacts: Path


class Deployer:
    """Deployments one after another; the outcome of the last is in `state`."""

    def __init__(
        self,
        settings: Settings,
        config: ConfigStore,
        supervisor: Supervisor,
        build: Path,
        externals: set[str],
    ) -> None:
        self._settings = settings
        self._config = config
        self._supervisor = supervisor
        self._build = build
        self._externals = externals
        self._current: dict[str, Recipe] = {}
        self._roots: set[str] = set()
        self._queue: asyncio.Queue[tuple[str, Deployment]] = asyncio.Queue(MAX_QUEUED)
        self.state: Object = {"id": None, "name": None, "status": "NONE", "detail": ""}

    def load(self) -> None:
        """Read what was deployed when the nucleus last ran; raise InputError."""
        stored = self._config.extra.get("components")
        for name, entry in (stored if isinstance(stored, dict) else {}).items():
            if not isinstance(entry, dict):
                continue
            if entry.get("recipe") is None:
                self._current[name] = _bare(name, str(entry.get("version")))
            else:
                file = self._settings.places.root / "packages" / "recipes" / str(entry["recipe"])
                self._current[name] = self._read(file, name)
            if entry.get("root"):
                self._roots.add(name)

    async def restore(self) -> None:
        """Start what was deployed when the nucleus last ran."""
        await self._supervisor.apply(self._current, set(), self._externals, set(self._current))

    async def deploy(self, deployment: Deployment) -> None:
        """Put it in force; raise InputError, having changed nothing, where any of it is wrong."""
        plan = self._resolve(deployment)
        for recipe in plan.recipes.values():
            if self._is_new(recipe):
                packages.check_artifacts(recipe, plan.artifacts)
        trees = self._configure(deployment, plan)
        kept: dict[str, Path] = {}
        for name, recipe in plan.recipes.items():
            if self._is_new(recipe):
                kept[name] = await asyncio.to_thread(
                    packages.install, recipe, plan.artifacts, self._settings.places
                )
        recipes = {
            name: replace(recipe, file=kept.get(name, recipe.file)) for name, recipe in plan.recipes.items()
        }
        restart = self._to_restart(recipes, trees)
        removed: dict[str, ConfigTree | None] = {name: None for name in self._current if name not in recipes}
        self._config.replace(trees | removed, _stored(recipes, plan.roots))
        self._current, self._roots = recipes, plan.roots
        await self._supervisor.apply(recipes, restart, self._externals, set())
        log.info("deployment %s is in force: %s", deployment.name, ", ".join(recipes) or "no component")

    def _is_new(self, recipe: Recipe) -> bool:
        return recipe.file != Path() and self._settings.places.root not in recipe.file.parents

    def _resolve(self, deployment: Deployment) -> Plan:
        folder = deployment.recipes_from or self._build / "recipes"
        chosen: dict[str, Recipe] = {}
        requirements: dict[str, list[str]] = {}
        kept = set() if deployment.replaces_all else self._roots - deployment.remove
        wanted: dict[str, Wanted] = {name: Wanted(None) for name in sorted(kept)} | dict(
            deployment.components
        )
        for name in self._externals:
            wanted.setdefault(name, Wanted(None))
        for name in _OF_THE_NUCLEUS:
            if wanted.pop(name, None):
                log.info("%s is this nucleus: nothing to deploy", name)
        roots = set(wanted)
        todo = list(wanted)
        while todo:
            name = todo.pop(0)
            recipe = self._choose(deployment, name, wanted.get(name), requirements.get(name, []), folder)
            chosen[name] = recipe
            for other, dependency in recipe.dependencies.items():
                if other in _OF_THE_NUCLEUS:
                    continue
                requirements.setdefault(other, []).append(dependency.requirement)
                if other not in chosen and other not in todo:
                    todo.append(other)
        self._check_requirements(chosen)
        artifacts = deployment.artifacts_from or self._build / "artifacts"
        return Plan(chosen, roots, artifacts)

    def _choose(
        self, deployment: Deployment, name: str, wanted: Wanted | None, requirements: list[str], folder: Path
    ) -> Recipe:
        version = wanted.version if wanted else None
        current = self._current.get(name)
        if current and version is None and name not in deployment.components and not deployment.replaces_all:
            return current
        file = packages.find(folder, name, version, requirements)
        if file is not None:
            return self._read(file, name)
        if name in self._externals:
            return _bare(name, version or "0.0.0")
        if wanted is None:
            raise packages.not_found(
                deployment.source, f"(dependency {' '.join(requirements)})", folder, name
            )
        label = f"{name}-{version}" if version else name
        raise packages.not_found(deployment.source, f"components.{name}", folder, label)

    def _read(self, file: Path, name: str) -> Recipe:
        recipe = packages.read(
            file, name, self._settings.profile, needs_lifecycle=name not in self._externals
        )
        return replace(recipe, dependencies={}) if name in self._externals else recipe

    def _check_requirements(self, chosen: dict[str, Recipe]) -> None:
        for recipe in chosen.values():
            for other, dependency in recipe.dependencies.items():
                there = chosen.get(other)
                if there and not versions.satisfies(there.version, dependency.requirement):
                    what = f"needs {dependency.requirement}, but {there.version} is deployed"
                    raise InputError(recipe.file, f"ComponentDependencies.{other}.VersionRequirement", what)

    def _configure(self, deployment: Deployment, plan: Plan) -> dict[str, ConfigTree | None]:
        """Running configuration, then resets, then defaults where missing, then merges."""
        t_ms = now_ms()
        trees: dict[str, ConfigTree | None] = {}
        for name, recipe in plan.recipes.items():
            wanted = deployment.components.get(name, Wanted(None))
            running = self._config.tree(name) if name in self._config.names() else ConfigTree()
            tree = running.without(list(wanted.reset)).with_defaults(recipe.defaults)
            tree = tree.merged((), wanted.merge, max(t_ms, tree.newest_ms()), refuse_stale=False)
            try:
                tree.check(self._settings.profile.config_limits)
            except ServiceError as error:
                path = f"components.{name}.configurationUpdate"
                raise InputError(deployment.source, path, error.message) from error
            trees[name] = tree
        return trees

    def _to_restart(self, recipes: dict[str, Recipe], trees: dict[str, ConfigTree | None]) -> set[str]:
        restart: set[str] = set()
        for name, recipe in recipes.items():
            current, tree = self._current.get(name), trees[name]
            if current is None or tree is None or name in self._externals:
                continue
            if self._supervisor.is_broken(name):
                restart.add(name)
            changed = name in self._config.names() and bool(tree.changed_since(self._config.tree(name)))
            if replace(current, file=Path()) != replace(recipe, file=Path()) or (
                changed and not self._config.watches_itself(name)
            ):
                restart.add(name)
        return restart

    def create(self, request: Object) -> str:
        """CreateLocalDeployment: check the form, queue it, return its id."""
        try:
            deployment = deployment_file.from_request(request)
        except InputError as error:
            raise InvalidArgumentsError(str(error)) from error
        number = str(uuid.uuid4())
        try:
            self._queue.put_nowait((number, deployment))
        except asyncio.QueueFull:
            raise ServiceError(f"{MAX_QUEUED} deployments wait already") from None
        return number

    async def run(self) -> None:
        """Carry out what comes over IPC, until cancelled."""
        while True:
            number, deployment = await self._queue.get()
            self._note(number, deployment, "IN_PROGRESS", "")
            try:
                await self.deploy(deployment)
            except (InputError, IpcError, OSError) as error:
                log.error("deployment %s failed, nothing has changed: %s", number, error)
                self._note(number, deployment, "FAILED", str(error))
            else:
                self._note(number, deployment, "SUCCEEDED", "")

    def _note(self, number: str, deployment: Deployment, status: str, detail: str) -> None:
        self.state = {"id": number, "name": deployment.name, "status": status, "detail": detail}
        self._supervisor.write_status()


def _bare(name: str, version: str) -> Recipe:
    """An external component without a recipe: only a name to hang configuration on."""
    return Recipe(name, version, Path(), {}, {}, {}, ())


def _stored(recipes: dict[str, Recipe], roots: set[str]) -> Object:
    components: dict[str, Json] = {}
    for name, recipe in recipes.items():
        file = recipe.file.name or None
        components[name] = {"version": recipe.version, "root": name in roots, "recipe": file}
    return {"components": components}
