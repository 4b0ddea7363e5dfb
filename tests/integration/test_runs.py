"""A run's processes: ready by a file, logged, and gone with their owner, however it goes."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway_sim.runs.processes import NotStarted, Processes
from gateway_sim.runs.rundir import MARK, make_run, marked_pids

STUBBORN = (
    "import pathlib, signal, socket, subprocess, sys, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "socket.socket(socket.AF_UNIX).bind(sys.argv[2])\n"
    "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)\n"
    "pathlib.Path(sys.argv[1]).write_text('ready')\n"
    "time.sleep(600)\n"
)
OWNER = (
    "import asyncio, pathlib, sys\n"
    "from gateway_sim.runs.processes import Processes\n"
    "from gateway_sim.runs.rundir import make_run\n"
    "async def main():\n"
    "    run = make_run(pathlib.Path(sys.argv[1]))\n"
    "    async with Processes(run) as processes:\n"
    "        ready = run.path / 'ready'\n"
    "        await processes.start('stubborn', [sys.executable, '-c', sys.argv[2], str(ready),"
    " str(run.path / 's')], ready=ready)\n"
    "        print('up', flush=True)\n"
    "        await asyncio.sleep(600)\n"
    "asyncio.run(main())\n"
)


@pytest.fixture
def run_id(monkeypatch: pytest.MonkeyPatch) -> str:
    name = f"test-{os.getpid()}-{time.monotonic_ns()}"
    monkeypatch.setenv(MARK, name)
    return name


async def test_leaving_ends_what_ignores_sigterm_and_its_children(tmp_path: Path, run_id: str) -> None:
    run = make_run(tmp_path)
    async with Processes(run) as processes:
        ready = run.path / "ready"
        argv = [sys.executable, "-c", STUBBORN, str(ready), str(run.path / "s")]
        await processes.start("stubborn", argv, ready=ready)
        assert len(marked_pids(run_id)) >= 3  # itself, its child, the reaper
    assert marked_pids(run_id) == []
    assert not (run.path / "s").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_no_process_outlives_its_owner(tmp_path: Path, run_id: str, number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER, str(tmp_path), STUBBORN],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd=Path.cwd(),
    ) as owner:
        assert owner.stdout is not None
        assert owner.stdout.readline() == b"up\n"
        owner.send_signal(number)
        owner.wait()
    for _ in range(200):
        if not marked_pids(run_id):
            break
        time.sleep(0.05)
    assert marked_pids(run_id) == []
    assert not (tmp_path / run_id / "s").exists()


async def test_a_process_that_ends_early_is_an_error_with_its_last_lines(tmp_path: Path, run_id: str) -> None:
    run = make_run(tmp_path)
    async with Processes(run) as processes:
        argv = [sys.executable, "-c", "import sys; print('no licence'); sys.exit(3)"]
        with pytest.raises(NotStarted, match=r"(?s)early exited with 3; .*no licence"):
            await processes.start("early", argv, ready=run.path / "never")


async def test_a_long_path_gets_a_short_link_for_sockets(tmp_path: Path, run_id: str) -> None:
    deep = tmp_path / ("d" * 60) / ("e" * 60)
    run = make_run(deep)
    assert run.link is not None
    assert len(os.fsencode(run.gateway / "ipc.socket")) <= 107
    async with Processes(run):
        await asyncio.sleep(0)
    assert not run.link.is_symlink()
