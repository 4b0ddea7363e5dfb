"""One script of a component as a process group of its own: start, wait, stop, and who outlives whom."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from gateway_sim.nucleus.component_log import ComponentLog
from gateway_sim.nucleus.within import within

log = logging.getLogger("nucleus.process")
STOP_TIMEOUT_S = 15.0
_PIPE_GRACE_S = 1.0


class Leash:
    """Sees to it that no component outlives the nucleus, unless orphans are wanted."""

    def __init__(self, *, orphans: bool) -> None:
        self._warden: subprocess.Popen[str] | None = None
        self.prefix: list[str] = []
        if orphans:
            return
        if setpriv := shutil.which("setpriv"):
            self.prefix = [
                setpriv,
                "--pdeathsig",
                "KILL",
                "--",
            ]  # PR_SET_PDEATHSIG, without code between fork and exec
        script = str(Path(__file__).with_name("warden.py"))
        self._warden = subprocess.Popen(
            [sys.executable, "-I", "-S", script], stdin=subprocess.PIPE, text=True, start_new_session=True
        )

    def hold(self, group: int) -> None:
        """A process group has been started."""
        self._tell(f"+{group}\n")

    def release(self, group: int) -> None:
        """It is gone."""
        self._tell(f"-{group}\n")

    def _tell(self, line: str) -> None:
        if self._warden is not None and self._warden.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._warden.stdin.write(line)
                self._warden.stdin.flush()

    def close(self) -> None:
        """All groups are gone."""
        if self._warden is not None and self._warden.stdin is not None:
            self._warden.stdin.close()
            self._warden.wait()


class ScriptProcess:
    """A running `sh -c script`; its output goes to the component's log."""

    def __init__(
        self, process: asyncio.subprocess.Process, pumps: list[asyncio.Task[None]], leash: Leash
    ) -> None:
        self._process = process
        self._pumps = pumps
        self._leash = leash

    @classmethod
    async def start(
        cls,
        script: str,
        *,
        env: Mapping[str, str],
        cwd: Path,
        output: ComponentLog,
        leash: Leash,
        tasks: asyncio.TaskGroup,
    ) -> Self:
        """Start it in a session of its own; raise OSError where that fails."""
        readers, writers = zip(os.pipe(), os.pipe(), strict=True)
        try:
            process = await asyncio.create_subprocess_exec(
                *leash.prefix, "sh", "-c", script,
                stdin=subprocess.DEVNULL, stdout=writers[0], stderr=writers[1],
                cwd=cwd, env=dict(env), start_new_session=True,
            )  # fmt: skip
        except OSError:
            for fd in readers:
                os.close(fd)
            raise
        finally:
            for fd in writers:
                os.close(fd)
        leash.hold(process.pid)
        pumps = [
            tasks.create_task(output.pump(fd, source), name=f"log {process.pid} {source}")
            for fd, source in zip(readers, ("stdout", "stderr"), strict=True)
        ]
        return cls(process, pumps, leash)

    @property
    def pid(self) -> int:
        """The shell's, which is also the group's."""
        return self._process.pid

    def signal(self, number: signal.Signals) -> None:
        """Signal the whole group, if anything of it is left."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    @property
    def running(self) -> bool:
        """Whether the shell itself has not ended."""
        return self._process.returncode is None

    async def exited(self) -> int:
        """The shell's exit code; what it left in its group goes on."""
        return await self._process.wait()

    async def wait(self) -> int:
        """The exit code (negative: a signal), once it has ended and nothing of its group is left."""
        code = await self._process.wait()
        self.signal(signal.SIGKILL)
        self._leash.release(self.pid)
        _, late = await asyncio.wait(self._pumps, timeout=_PIPE_GRACE_S)
        for pump in late:
            pump.cancel()
        return code

    async def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> int:
        """SIGTERM to the group, SIGKILL after the timeout.

        That its pipes are closed tells that the group is gone: the shell may end long before what it started.
        """
        self.signal(signal.SIGTERM)
        try:
            await within(timeout_s, self._gone(), f"end of group {self.pid}")
        except TimeoutError:
            log.warning("process group %d ignores SIGTERM for %.0f s: SIGKILL", self.pid, timeout_s)
            self.signal(signal.SIGKILL)
        return await self.wait()

    async def _gone(self) -> None:
        await self._process.wait()
        await asyncio.wait(self._pumps)
