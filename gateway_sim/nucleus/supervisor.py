"""All components together: order, environment, what a change of one means to others, status.json."""

from __future__ import annotations

import asyncio
import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from gateway_sim.nucleus.component import (
    READY,
    SETTLED,
    Component,
    State,
    Surroundings,
    inherited_environment,
)
from gateway_sim.nucleus.component_log import ComponentLog
from gateway_sim.nucleus.config_store import ConfigStore, write_atomically
from gateway_sim.nucleus.jsonvalue import Json, Object
from gateway_sim.nucleus.process import Leash
from gateway_sim.nucleus.profiles import Profile
from gateway_sim.nucleus.recipes import Recipe
from gateway_sim.nucleus.variables import Places, interpolate

log = logging.getLogger("nucleus.supervisor")


@dataclass(frozen=True, slots=True)
class Settings:
    """What does not change while the nucleus runs."""

    profile: Profile
    places: Places
    region: str
    ca: Path
    broken_after: int = 3


@dataclass(slots=True)
class Change:
    """Something about some component has changed; waiters look again."""

    _event: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self) -> None:
        """Wake everyone who waits."""
        self._event.set()
        self._event = asyncio.Event()

    async def until(self, true: Callable[[], bool]) -> None:
        """Return once it is true."""
        while not true():
            await self._event.wait()


class Supervisor:
    """Starts, restarts and stops components; knows whose token is whose."""

    def __init__(
        self, settings: Settings, config: ConfigStore, leash: Leash, tasks: asyncio.TaskGroup
    ) -> None:
        self._settings = settings
        self._config = config
        self._leash = leash
        self._tasks = tasks
        self._components: dict[str, Component] = {}
        self._states: dict[str, State] = {}
        self._logs: dict[str, ComponentLog] = {}
        self._change = Change()
        self.on_revoked: Callable[[str], None] = lambda token: None
        self.extra_status: Callable[[], Object] = dict
        self._status_file: Path | None = None

    def holder(self, token: str) -> str | None:
        """Which component a token belongs to."""
        return next((one.name for one in self._components.values() if one.token and one.token == token), None)

    def exists(self, component: str) -> bool:
        """Whether it is deployed."""
        return component in self._components

    def is_broken(self, component: str) -> bool:
        """Whether it has failed too often to be started again by itself."""
        there = self._components.get(component)
        return there is not None and there.state is State.BROKEN

    def report(self, component: str, *, errored: bool) -> None:
        """UpdateState."""
        if errored:
            self._components[component].interrupt(failed=True)
        else:
            self._components[component].report_running()

    def restart(self, component: str) -> None:
        """End its life; the next one follows."""
        self._components[component].interrupt()

    def pause(self, component: str, *, paused: bool) -> None:
        """Freeze or thaw."""
        self._components[component].pause(paused=paused)

    def external_token(self, component: str) -> str:
        """The token of a component that someone else runs."""
        return self._components[component].token

    async def apply(
        self, recipes: Mapping[str, Recipe], restart: set[str], externals: set[str], installed: set[str]
    ) -> None:
        """Make exactly these run; those in `restart` anew, those in `installed` without lite's install."""
        gone = [name for name in self._components if name not in recipes]
        await self._stop([*gone, *(name for name in restart if name in self._components)])
        for name in gone:
            self._components.pop(name, None)
        for name, recipe in recipes.items():
            current = self._components.get(name)
            if current is None or current.ended:
                self._components[name] = self._make(recipe, external=name in externals)
                if name in installed:
                    self._components[name].installed_before()
            else:
                current.recipe = recipe
        for component in self._components.values():
            if component.task is None:
                component.task = self._tasks.create_task(component.live(), name=f"component {component.name}")
                component.task.add_done_callback(lambda _: self._changed())
        self._changed()

    async def stop_all(self) -> None:
        """Stop everything, dependents before what they depend on."""
        await self._stop(list(self._components))

    async def _stop(self, names: list[str]) -> None:
        left = set(names)
        while left:
            wave = {name for name in left if not (self._dependents(name) & left)} or set(left)
            tasks = [task for name in wave if (task := self._components[name].task) is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            left -= wave

    def _dependents(self, name: str) -> set[str]:
        return {
            other.name
            for other in self._components.values()
            if (dependency := other.recipe.dependencies.get(name)) and dependency.kind != "NONE"
        }

    def _make(self, recipe: Recipe, *, external: bool) -> Component:
        settings, name = self._settings, recipe.name
        work = settings.places.work(name)
        work.mkdir(parents=True, exist_ok=True)
        if name not in self._logs:
            self._logs[name] = ComponentLog(settings.places.root / "logs" / f"{name}.log")
        lite = settings.profile.lite
        fixed: dict[str, str] = {}

        def resolve(script: str) -> str:
            if script not in fixed or lite:  # classic resolves once per deployment, lite at every start
                fixed[script] = self._interpolate(script, name)
            return fixed[script]

        around = Surroundings(
            environment=self._environment,
            interpolate=resolve,
            work=work,
            log=self._logs[name],
            leash=self._leash,
            tasks=self._tasks,
            ready=lambda: self._change.until(lambda: self._may_start(name)),
            changed=self._changed,
            revoked=lambda token: self.on_revoked(token),
            broken_after=settings.broken_after,
            install_every_start=not lite,
        )
        return Component(recipe, around, external=external)

    def _interpolate(self, script: str, name: str) -> str:
        def configuration(owner: str, path: tuple[str, ...]) -> Json:
            return self._config.tree(owner).value(path)

        installed = {one.name: one.recipe.version for one in self._components.values()}
        places, lite = self._settings.places, self._settings.profile.lite
        return interpolate(script, places, name, installed, configuration, lite=lite)

    def _environment(self, token: str) -> dict[str, str]:
        settings = self._settings
        return inherited_environment() | {
            "SVCUID": token,
            "AWS_CONTAINER_AUTHORIZATION_TOKEN": token,
            "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT": str(
                settings.places.root / settings.profile.socket_name
            ),
            "AWS_REGION": settings.region,
            "AWS_DEFAULT_REGION": settings.region,
            "AWS_IOT_THING_NAME": settings.places.thing,
            "GGC_VERSION": settings.profile.version,
            "GG_ROOT_CA_PATH": str(settings.ca),
        }

    def _may_start(self, name: str) -> bool:
        for other, dependency in self._components[name].recipe.dependencies.items():
            there = self._components.get(other)
            if there is None or dependency.kind == "NONE":
                continue
            if there.state not in (READY if dependency.kind == "HARD" else SETTLED):
                return False
        return True

    def _changed(self) -> None:
        for component in list(self._components.values()):
            before = self._states.get(component.name, State.NEW)
            self._states[component.name] = component.state
            if before in READY and component.state not in READY:
                self._lost(component.name)
        self._change.tell()
        self.write_status()

    def _lost(self, name: str) -> None:
        for other in self._components.values():
            dependency = other.recipe.dependencies.get(name)
            if dependency and dependency.kind == "HARD" and other.state in (State.RUNNING, State.STARTING):
                log.info("%s restarts with %s", other.name, name)
                other.interrupt()

    def publish_status(self, file: Path) -> None:
        """Write status.json from now on."""
        self._status_file = file
        self.write_status()

    def write_status(self) -> None:
        """Replace status.json."""
        if self._status_file is not None:
            components: Object = {one.name: one.status() for one in self._components.values()}
            status: Object = {"pid": os.getpid(), "components": components, **self.extra_status()}
            write_atomically(self._status_file, json.dumps(status, indent=1), durable=False)

    def close(self) -> None:
        """After the last component has stopped."""
        for output in self._logs.values():
            output.close()
