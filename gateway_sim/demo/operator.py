"""The operator's command line against this run: a process of its own, as a person would start it."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Record = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Told:
    """What one command said: its exit code (docs/cli.md), its lines of JSON, its standard error."""

    code: int
    records: Sequence[Record]
    errors: str


class Operator:
    """Runs `headgate --sim RUN --json ...` for one run's cloud."""

    def __init__(self, repository: Path, cloud: Path) -> None:
        self._repository = repository
        self._words = (sys.executable, "-m", "headgate_cloud.cli", "--sim", str(cloud), "--json")

    async def run(self, *words: str) -> Told:
        """Run one command to its end."""
        process = await asyncio.create_subprocess_exec(
            *self._words,
            *words,
            cwd=self._repository,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            out, errors = await process.communicate()
        except asyncio.CancelledError:
            process.send_signal(signal.SIGTERM)
            await process.wait()
            raise
        assert process.returncode is not None
        records = [json.loads(line) for line in out.splitlines()]
        return Told(process.returncode, records, errors.decode(errors="replace").strip())
