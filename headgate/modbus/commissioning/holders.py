"""Which processes have a serial port open, as far as this user may see them (Linux)."""

from __future__ import annotations

import os
from pathlib import Path

PROC = Path("/proc")


def holders(path: str, proc: Path = PROC) -> list[str]:
    """`pid 812 (python -m headgate.roles.bridge modbus)` of each other process that may be seen."""
    port = str(Path(path).resolve())
    found = []
    for process in sorted(proc.glob("[0-9]*"), key=lambda each: int(each.name)):
        if int(process.name) == os.getpid() or not _has_open(process, port):
            continue
        try:
            words = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        except OSError:
            words = []
        found.append(f"pid {process.name} ({' '.join(words).strip() or 'unknown'})")
    return found


def _has_open(process: Path, port: str) -> bool:
    try:
        return any(str(fd.readlink()) == port for fd in (process / "fd").iterdir())
    except OSError:  # somebody else's, or gone meanwhile
        return False
