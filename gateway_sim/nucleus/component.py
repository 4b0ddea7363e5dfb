"""One component's life: install, start, error, restart, broken; and stop."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import shutil
import signal
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from gateway_sim.nucleus.component_log import ComponentLog
from gateway_sim.nucleus.jsonvalue import Json, Object
from gateway_sim.nucleus.process import STOP_TIMEOUT_S, Leash, ScriptProcess
from gateway_sim.nucleus.recipes import Recipe, Step
from gateway_sim.nucleus.variables import MissingVariableError
from gateway_sim.nucleus.within import within

log = logging.getLogger("nucleus.component")
ERROR_WINDOW_S = 3600.0
BACKOFF_S = (0.0, 0.5, 1.0, 2.0, 4.0)  # the first restart is immediate, as on the real ones
CALM_S = 60.0  # having run this long, the next restart is a first one again
KEPT_EXIT_CODES = 100


class State(StrEnum):
    """Lifecycle states by Greengrass's names."""

    NEW = "NEW"
    STARTING = "STARTING"
    RUNNING = "RUNNING"
    STOPPING = "STOPPING"
    ERRORED = "ERRORED"
    BROKEN = "BROKEN"
    FINISHED = "FINISHED"


READY = frozenset({State.RUNNING, State.FINISHED})
SETTLED = READY | {State.BROKEN, State.ERRORED}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a component is given by the nucleus."""

    environment: Callable[[str], Mapping[str, str]]  # for a token
    interpolate: Callable[[str], str]
    work: Path
    log: ComponentLog
    leash: Leash
    tasks: asyncio.TaskGroup
    ready: Callable[[], Awaitable[None]]  # returns once the dependencies allow a start
    changed: Callable[[], None]
    revoked: Callable[[str], None]  # a token is no longer good
    broken_after: int
    install_every_start: bool


class Component:
    """Runs until its task is cancelled, which stops it in order."""

    def __init__(self, recipe: Recipe, around: Surroundings, *, external: bool = False) -> None:
        self.recipe = recipe
        self.external = external
        self.state = State.RUNNING if external else State.NEW
        self.token = secrets.token_urlsafe(24) if external else ""
        self.starts = 0
        self.exit_codes: deque[int] = deque(maxlen=KEPT_EXIT_CODES)
        self.task: asyncio.Task[None] | None = None
        self._around = around
        self._process: ScriptProcess | None = None
        self._interrupt = asyncio.Event()
        self._failed = False
        self._errors: deque[float] = deque()
        self._install_due = True

    @property
    def name(self) -> str:
        """The component's name."""
        return self.recipe.name

    @property
    def ended(self) -> bool:
        """Whether it has been stopped, so that only a new one can run; one played by others never is."""
        return not self.external and (self.task is None or self.task.done())

    def status(self) -> Object:
        """Its entry in status.json."""
        codes: list[Json] = list(self.exit_codes)
        return {
            "version": self.recipe.version,
            "state": str(self.state),
            "pid": self._process.pid if self._process else None,
            "starts": self.starts,
            "exit_codes": codes,
        }

    def installed_before(self) -> None:
        """Its install has run in an earlier life of the nucleus (lite does not repeat it)."""
        self._install_due = False

    def interrupt(self, *, failed: bool = False) -> None:
        """End this life and begin another: asked for, or because of a failure it reported."""
        self._failed = self._failed or failed
        self._interrupt.set()

    def report_running(self) -> None:
        """The component says that it is up."""
        if self.state is State.STARTING:
            self._set(State.RUNNING)

    def pause(self, *, paused: bool) -> None:
        """Freeze or thaw the process group."""
        if self._process is not None:
            self._process.signal(signal.SIGSTOP if paused else signal.SIGCONT)

    async def live(self) -> None:
        """One life after another."""
        if self.external:
            return
        try:
            while True:
                await self._around.ready()
                self._interrupt.clear()
                self._failed = False
                started = time.monotonic()
                failed = await self._one_life()
                if failed:
                    await self._after_error(calm=time.monotonic() - started > CALM_S)
        except asyncio.CancelledError:
            self._set(State.STOPPING)
            await self._end_process()
            self._set(State.FINISHED)
            raise
        except Exception:  # the role's boundary: one component's trouble is not the nucleus's
            log.exception("%s: supervising it failed", self.name)
            await self._end_process()
            self._set(State.BROKEN)

    async def _one_life(self) -> bool:
        """Until it ends; True if that was an error."""
        self.token = secrets.token_urlsafe(24)
        self.starts += 1
        self._set(State.STARTING)
        try:
            if (self._install_due or self._around.install_every_start) and not await self._phase("install"):
                return True
            self._install_due = False
            if "startup" in self.recipe.steps and not await self._phase("startup", stays=True):
                return True
            if "run" not in self.recipe.steps:
                self._set(State.RUNNING if "startup" in self.recipe.steps else State.FINISHED)
                await self._interrupt.wait()
                return self._failed
            return await self._run(self.recipe.steps["run"])
        except (OSError, MissingVariableError) as error:
            self._say(f"cannot start: {error}")
            return True
        finally:
            await self._end_process()

    async def _run(self, step: Step) -> bool:
        process = self._process = await self._spawn(step)
        self._set(State.RUNNING)
        exited = asyncio.ensure_future(process.wait())
        asked = asyncio.ensure_future(self._interrupt.wait())
        try:
            await asyncio.wait({exited, asked}, return_when=asyncio.FIRST_COMPLETED)
            if not exited.done():
                return self._failed
            self._process = None
            self._note_exit(exited.result())
            if exited.result():
                return True
            self._revoke()
            self._set(State.FINISHED)
            await asked
            return self._failed
        finally:
            exited.cancel()
            asked.cancel()

    async def _phase(self, name: str, *, stays: bool = False) -> bool:
        """Run a phase to its end; True if it succeeded or there is none, or it is to be skipped.

        With `stays`, what the script leaves running is the component from then on.
        """
        step = self.recipe.steps.get(name)
        if step is None or await self._skipped(step):
            return True
        process = self._process = await self._spawn(step)
        try:
            code = await within(step.timeout_s, process.exited(), f"{name} of {self.name}")
        except TimeoutError:
            self._say(f"{name} does not end within {step.timeout_s} s")
            self._process = None
            await process.stop(0)
            return False
        if code:
            self._say(f"{name} ended with {code}")
            self.exit_codes.append(code)
        if code or not stays:
            self._process = None
            await process.wait()
        return code == 0

    async def _skipped(self, step: Step) -> bool:
        """`Skipif: onpath name | exists path` (classic)."""
        kind, _, argument = (step.skip_if or "").partition(" ")
        if kind == "exists":
            return (self._around.work / self._around.interpolate(argument.strip())).exists()
        if kind == "onpath":
            path = self._around.environment("").get("PATH")
            return shutil.which(argument.strip(), path=path) is not None
        return False

    async def _spawn(self, step: Step) -> ScriptProcess:
        around = self._around
        env = dict(around.environment(self.token))
        for extra in (self.recipe.setenv, step.setenv):
            env |= {key: around.interpolate(value) for key, value in extra.items()}
        return await ScriptProcess.start(
            around.interpolate(step.script),
            env=env,
            cwd=around.work,
            output=around.log,
            leash=around.leash,
            tasks=around.tasks,
        )

    async def _end_process(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            self._set(State.STOPPING)
            await self._shutdown_script()
            shutdown = self.recipe.steps.get("shutdown")
            timeout_s = shutdown.timeout_s if shutdown else STOP_TIMEOUT_S
            running = process.running
            code = await process.stop(timeout_s or STOP_TIMEOUT_S)
            if running:
                self._note_exit(code)
        self._revoke()

    async def _shutdown_script(self) -> None:
        step = self.recipe.steps.get("shutdown")
        if step is None:
            return
        script = await self._spawn(step)
        try:
            await within(step.timeout_s, script.wait(), f"shutdown of {self.name}")
        except TimeoutError:
            await script.stop(0)

    def _revoke(self) -> None:
        if self.token:
            token, self.token = self.token, ""
            self._around.revoked(token)

    async def _after_error(self, *, calm: bool) -> None:
        now = time.monotonic()
        if calm:
            self._errors.clear()
        while self._errors and self._errors[0] < now - ERROR_WINDOW_S:
            self._errors.popleft()
        self._errors.append(now)
        if len(self._errors) >= self._around.broken_after:
            self._say(
                f"{len(self._errors)} errors within an hour: BROKEN until it is deployed or restarted anew"
            )
            self._set(State.BROKEN)
            await self._interrupt.wait()
            self._errors.clear()
            return
        delay_s = BACKOFF_S[min(len(self._errors), len(BACKOFF_S)) - 1]
        self._set(State.ERRORED)
        await asyncio.sleep(delay_s)

    def _note_exit(self, code: int) -> None:
        self.exit_codes.append(code)
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        self._say(f"ended with {how}")

    def _say(self, text: str) -> None:
        log.log(logging.INFO if text.endswith("code 0") else logging.WARNING, "%s: %s", self.name, text)
        self._around.log.write("nucleus", [text.encode()])

    def _set(self, state: State) -> None:
        if state is self.state:
            return
        self.state = state
        log.info("%s: %s%s", self.name, state, f" (pid {self._process.pid})" if self._process else "")
        self._around.changed()


def inherited_environment() -> dict[str, str]:
    """What a component gets of the nucleus's own environment, and nothing more."""
    # On a Raspberry Pi the bus is the system's; a simulated one has to be named.
    kept = {"PATH", "HOME", "LANG", "DBUS_SYSTEM_BUS_ADDRESS"}
    return {key: value for key, value in os.environ.items() if key in kept or key.startswith("HEADGATE_")}
