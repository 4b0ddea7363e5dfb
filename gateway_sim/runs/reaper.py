"""Ends a run whose owner is gone: waits for its standard input to close, then kills what carries the mark.

It runs in a session of its own, so neither Ctrl-C nor the owner's SIGKILL reaches it. Usage:
`python -m gateway_sim.runs.reaper RUN_ID RUN_PATH [LINK]`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import stat
import sys
import time
from pathlib import Path

from gateway_sim.runs.rundir import marked_pids

ROUNDS = 100
PAUSE_S = 0.05


def main() -> int:
    """Wait for the owner, then leave no process, no socket and no link; 1 if a process would not die."""
    run_id, run_path, *link = sys.argv[1:]
    owner = os.getppid()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(0, 4096):
        pass
    # Killing is repeated: a process can fork between the look and the kill.
    for _ in range(ROUNDS):
        pids = _left(run_id, owner)
        if not pids:
            break
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(PAUSE_S)
    for path in Path(run_path).rglob("*"):
        with contextlib.suppress(OSError):
            if stat.S_ISSOCK(path.lstat().st_mode):
                path.unlink()
    for name in link:
        Path(name).unlink(missing_ok=True)
    return 1 if _left(run_id, owner) else 0


def _left(run_id: str, owner: int) -> list[int]:
    """What is to go: all that carries the mark but the owner, who may have been given it and still waits."""
    waiting = owner if os.getppid() == owner else 0
    return [pid for pid in marked_pids(run_id) if pid != waiting]


if __name__ == "__main__":
    sys.exit(main())
