"""Replaces the process a nucleus started by one role of the installed runtime. Standard library only."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

EX_CONFIG = 78
"""sysexits.h: this gateway is not set up for the component; starting it again will not help."""


class NoRuntimeError(Exception):
    """There is no installed runtime to start; the message says what to do."""


def current_runtime(root: Path) -> Path:
    """The directory of the runtime in use under `root`, with `current` resolved once.

    A deployment may move `current` at any moment; a process must never see half of two runtimes.
    """
    current = root / "current"
    try:  # a link on Linux, a file that holds the name on Windows
        name = str(current.readlink()) if current.is_symlink() else current.read_text("utf-8").strip()
    except OSError as error:
        raise NoRuntimeError(
            f"no runtime at {current} ({error.strerror}); "
            "deploy headgate.Runtime to this gateway, or read its log if it is deployed"
        ) from None
    runtime = root / name
    for part in (env_python(runtime), runtime / "lib" / "headgate"):
        if not part.exists():
            raise NoRuntimeError(
                f"the runtime in {runtime} is damaged: {part} is missing; "
                "deploy headgate.Runtime again, which mends it"
            )
    return runtime


def env_python(runtime: Path) -> Path:
    """The interpreter of a runtime's environment."""
    return runtime / "env" / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def environment(runtime: Path, inherited: Mapping[str, str]) -> dict[str, str]:
    """What the role's process gets: the nucleus's variables, and imports from this runtime alone."""
    mine = {name: value for name, value in inherited.items() if name not in {"PYTHONHOME", "VIRTUAL_ENV"}}
    mine["PYTHONPATH"] = str(runtime / "lib")
    mine["PYTHONSAFEPATH"] = "1"  # a file in the work directory must not shadow a module
    mine["PYTHONDONTWRITEBYTECODE"] = "1"
    mine["PYTHONUNBUFFERED"] = "1"
    return mine


def launch(component: str, module: str, arguments: Sequence[str] = ()) -> NoReturn:
    """Become `python -m module arguments`. The recipe gives the runtime's root as the only argument."""
    if len(sys.argv) != 2:
        print(f"{component}: expected one argument, the root of headgate.Runtime", file=sys.stderr)
        sys.exit(EX_CONFIG)
    try:
        runtime = current_runtime(Path(sys.argv[1]))
    except NoRuntimeError as error:
        print(f"{component}: {error}", file=sys.stderr)
        sys.exit(EX_CONFIG)
    command = [str(env_python(runtime)), "-m", module, *arguments]
    variables = environment(runtime, os.environ)
    if sys.platform == "win32":  # exec there starts a second process and ends this one
        sys.exit(subprocess.run(command, env=variables, check=False).returncode)
    os.execve(command[0], command, variables)
