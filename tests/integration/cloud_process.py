"""A simulated cloud as a process that no failing test leaves behind."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]


@contextlib.contextmanager
def started(directory: Path, *options: str, things: str = "gw-1") -> Iterator[subprocess.Popen[str]]:
    """It has installed its signal handlers; standard output is a pipe."""
    command = [
        sys.executable,
        "-m",
        "gateway_sim.cloud",
        "--dir",
        str(directory),
        "--things",
        things,
        *options,
    ]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env={**os.environ, "HEADGATE_RUN": directory.name},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        assert process.stderr.readline() == "simulated cloud: starting\n"
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


def wait_until_ready(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline().startswith("simulated cloud: ready")
