"""Where one run keeps everything, and the mark that all of its processes carry."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

MARK = "HEADGATE_RUN"
"""Environment variable on every process of a run; its value is the run's id."""
SOCKET_PATH_LIMIT = 107
"""`sun_path` holds 108 B with the closing NUL (unix(7))."""
SOCKET_NAME_ROOM = 40
"""What a part of the run may need below its directory, such as `control/proxy.socket.partial`."""
KEPT_RUNS = 5
"""Older runs are deleted when a new one starts."""


@dataclass(frozen=True, slots=True)
class RunDir:
    """The paths of one run. `gateway` may lead through a short link, because a socket's path has a limit."""

    id: str
    path: Path
    link: Path | None

    @property
    def plant(self) -> Path:
        return self.path / "plant"

    @property
    def cloud(self) -> Path:
        return (self.link or self.path) / "cloud"

    @property
    def gateway(self) -> Path:
        return (self.link or self.path) / "gateway"

    @property
    def ble(self) -> Path:
        return (self.link or self.path) / "ble"

    @property
    def files(self) -> Path:
        """What the gateway's applications write: the folder that a plan with files offers."""
        return self.path / "files"

    @property
    def control(self) -> Path:
        return (self.link or self.path) / "control"

    @property
    def state(self) -> Path:
        return self.path / "state"

    @property
    def logs(self) -> Path:
        return self.path / "logs"


def make_run(base: Path) -> RunDir:
    """Make the directory of a new run below `base`; the id is HEADGATE_RUN's when that is set."""
    run_id = os.environ.get(MARK) or secrets.token_hex(4)
    path = (base / run_id).resolve()
    _forget_old_runs(base)
    for part in ("plant", "ble", "cloud", "gateway", "control", "state", "logs", "files"):
        (path / part).mkdir(parents=True, exist_ok=True)
    link = None
    if len(os.fsencode(path)) + SOCKET_NAME_ROOM > SOCKET_PATH_LIMIT:
        link = Path(tempfile.gettempdir()) / f"hg-{run_id}"
        link.unlink(missing_ok=True)
        link.symlink_to(path)
    return RunDir(run_id, path, link)


def _forget_old_runs(base: Path) -> None:
    """Delete all but the newest runs; one that still has a live process is kept."""
    base.mkdir(parents=True, exist_ok=True)
    runs = sorted((p for p in base.iterdir() if p.is_dir()), key=lambda p: p.stat().st_mtime)
    for old in runs[: -(KEPT_RUNS - 1)]:
        if not marked_pids(old.name):
            shutil.rmtree(old, ignore_errors=True)


def marked_pids(run_id: str) -> list[int]:
    """The processes whose environment carries this run's mark, the caller's own apart."""
    needle = f"{MARK}={run_id}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if needle in (entry / "environ").read_bytes().split(b"\0"):
                found.append(int(entry.name))
        except OSError:
            continue
    return found
