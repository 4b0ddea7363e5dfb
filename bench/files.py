"""What the cloud asks for: the latency of a direct read."""

from __future__ import annotations

from collections.abc import Sequence

from bench import reading
from bench.form import run


def main(argv: Sequence[str]) -> int:
    """`./dev bench files [--json] [SCENARIO ...]`."""
    return run("files", argv, [reading.scenario()])
