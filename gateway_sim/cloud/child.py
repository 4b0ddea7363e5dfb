"""Child processes that cannot outlive the simulated cloud, however it dies."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

PR_SET_PDEATHSIG: Final = 1  # linux/prctl.h
STOP_TIMEOUT_S: Final = 5.0


class NotStarted(Exception):
    """A child process did not come up; the text says which, why, and what to do."""


async def start(
    command: Sequence[str], *, output: Path, piped: bool = False, env: Mapping[str, str] | None = None
) -> asyncio.subprocess.Process:
    """Start `command` so that it dies with this process; what it writes goes to the file `output`, its
    standard output to a pipe where `piped`. Call it from the main thread: the kernel ties the child to the
    thread that made it. It gets a process group of its own, so that an interrupt typed at a terminal
    reaches this process alone, which then stops its children in order."""
    launcher = [sys.executable, "-I", "-S", str(Path(__file__)), str(os.getpid()), *command]
    with output.open("wb") as file:
        return await asyncio.create_subprocess_exec(
            *launcher,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE if piped else file,
            stderr=file,
            process_group=0,
            env=env,
        )


async def stop(process: asyncio.subprocess.Process) -> None:
    """Terminate, and kill what does not listen."""
    if process.returncode is not None:
        return
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), STOP_TIMEOUT_S)
    except TimeoutError:
        process.kill()
        await process.wait()


def main(argv: Sequence[str]) -> None:
    """`child.py PARENT_PID COMMAND...`: tie this process to its parent, then become the command."""
    parent, command = int(argv[0]), list(argv[1:])
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
    if os.getppid() != parent:  # it died before the line above
        sys.exit(1)
    os.execvp(command[0], command)


if __name__ == "__main__":
    main(sys.argv[1:])
