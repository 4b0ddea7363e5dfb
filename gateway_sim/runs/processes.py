"""The processes of one run: started with its mark, logged to files, stopped in order, none left behind."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from gateway_sim.runs.rundir import MARK, RunDir

PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that a process gets when its parent dies."""
READY_PAUSE_S = 0.05
LAST_LINES = 12


class NotStarted(Exception):
    """A process of the run ended or stayed silent before it was ready; the text holds its last lines."""


class Processes:
    """The run's processes, as an async context manager: leaving it kills what is left."""

    def __init__(self, run: RunDir, environment: Mapping[str, str] | None = None) -> None:
        self.run = run
        self._environment = {**os.environ, **(environment or {}), MARK: run.id}
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._reaper: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> Processes:
        link = [str(self.run.link)] if self.run.link else []
        self._reaper = subprocess.Popen(  # noqa: ASYNC220  (returns at once; asyncio's own would die with the loop)
            [sys.executable, "-m", "gateway_sim.runs.reaper", self.run.id, str(self.run.path), *link],
            stdin=subprocess.PIPE,
            env=self._environment,
            start_new_session=True,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._reaper is not None
        assert self._reaper.stdin is not None
        self._reaper.stdin.close()
        await asyncio.to_thread(self._reaper.wait)
        for process in self._running.values():
            with contextlib.suppress(ProcessLookupError):
                await process.wait()

    async def start(
        self,
        name: str,
        argv: Sequence[str],
        *,
        ready: Path,
        timeout_s: float = 60,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start `argv`, its output in `logs/<name>.log`, and return once it has written the file `ready`.

        `environment` comes on top of the run's.

        Raises NotStarted with the log's last lines when it exits first or takes longer than `timeout_s`.
        """
        ready.unlink(missing_ok=True)
        log = self.run.logs / f"{name}.log"
        with log.open("ab") as sink:
            process = await asyncio.create_subprocess_exec(
                *argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env={**self._environment, **(environment or {})},
                start_new_session=True,
                preexec_fn=_die_with_parent,
            )
        self._running[name] = process
        try:
            async with asyncio.timeout(timeout_s):
                while not ready.exists():
                    if process.returncode is not None:
                        raise NotStarted(f"{name} exited with {process.returncode}; {tail(log)}")
                    await asyncio.sleep(READY_PAUSE_S)
        except TimeoutError:
            raise NotStarted(f"{name} was not ready after {timeout_s:g} s; {tail(log)}") from None

    async def stop(self, name: str, *, timeout_s: float = 15) -> int:
        """Ask a process to end (SIGTERM), kill its group after `timeout_s`, return its exit code."""
        process = self._running.pop(name)
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(timeout_s):
                return await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            return await process.wait()

    def pid(self, name: str) -> int:
        """The process id of a running one."""
        return self._running[name].pid

    def exited(self) -> str | None:
        """The name of a process that ended by itself, if one did."""
        for name, process in self._running.items():
            if process.returncode is not None:
                return name
        return None


def tail(log: Path) -> str:
    """The last lines of a log, for an error."""
    lines = log.read_text(errors="replace").splitlines()[-LAST_LINES:] if log.exists() else []
    return f"last lines of {log}:\n  " + "\n  ".join(lines or ["(empty)"])


def _die_with_parent() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
