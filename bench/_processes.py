"""Children of a benchmark that answer lines with lines."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parents[1]


class Child:
    """A process of the benchmark."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.pid = process.pid
        self._in: IO[str] = process.stdin
        self._out: IO[str] = process.stdout

    def line(self) -> str:
        """Its next line. Raises RuntimeError when it has ended."""
        if not (line := self._out.readline()):
            raise RuntimeError("a process of the benchmark ended early; see above")
        return line

    def ask(self, line: str) -> str:
        """Its answer to a line."""
        self._in.write(line + "\n")
        self._in.flush()
        return self.line()


@contextlib.contextmanager
def child(module: str, *words: str, environment: Mapping[str, str] | None = None) -> Iterator[Child]:
    """Run a module until the context is left; then its input is closed, and 5 s later it is killed."""
    process = subprocess.Popen(
        [sys.executable, "-m", module, *words],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield Child(process)
    finally:
        with contextlib.suppress(subprocess.TimeoutExpired, BrokenPipeError):
            assert process.stdin is not None
            process.stdin.close()
            process.wait(5)
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
