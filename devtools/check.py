"""`./dev check`: lint, format, types for both platforms, import contracts; at once, with a line for each."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

from devtools.paths import ROOT

PACKAGES = ("headgate", "headgate_cloud", "gateway_sim", "devtools", "bench", "tests")
"""What is checked for Linux; those that exist."""

GATEWAY = ("headgate",)
"""What must also hold on Windows, with the components."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the report: commands that run one after the other and must all succeed."""

    name: str
    commands: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a check."""

    check: Check
    ok: bool
    output: str
    seconds: float


def checks(root: Path = ROOT) -> list[Check]:
    """Every check of the checkout at `root`, the slowest first."""
    ruff, mypy = _tool("ruff"), _tool("mypy")
    present = [name for name in PACKAGES if (root / name).is_dir()]
    return [
        Check("types", _mypy(root, mypy, present, "linux")),
        Check("types on Windows", _mypy(root, mypy, GATEWAY, "win32")),
        Check("import contracts", ((_tool("lint-imports"), "--no-logo", "--config", "pyproject.toml"),)),
        Check("lint", ((ruff, "check", "-q", "--output-format", "concise", "."),)),
        Check("format", ((ruff, "format", "--check", "."),)),
    ]


def _mypy(root: Path, mypy: str, packages: Sequence[str], platform: str) -> tuple[tuple[str, ...], ...]:
    """Types of packages and components. Each component is a run of its own: all have a module `main`."""
    base = (mypy, "--no-error-summary", "--platform", platform, "--cache-dir", f".mypy_cache/{platform}")
    components = sorted(path for path in (root / "components").glob("*/") if any(path.glob("*.py")))
    runs = [(*base, *packages, *_files(root, root / "components"))]
    runs += [(*base, *_files(root, component)) for component in components]
    return tuple(runs)


def _files(root: Path, folder: Path) -> tuple[str, ...]:
    return tuple(str(path.relative_to(root)) for path in sorted(folder.glob("*.py")))


def _tool(name: str) -> str:
    return str(Path(sys.executable).with_name(name))


def run_check(check: Check, root: Path) -> Outcome:
    """Run a check to its end, or to the first of its commands that fails."""
    start = time.monotonic()
    for command in check.commands:
        done = subprocess.run(
            command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        if done.returncode:
            return Outcome(check, False, done.stdout, time.monotonic() - start)
    return Outcome(check, True, "", time.monotonic() - start)


def run_all(root: Path = ROOT) -> bool:
    """Run every check, report each when it ends, and say whether all held."""
    selected = checks(root)
    ok = True
    with ThreadPoolExecutor(min(len(selected), os.cpu_count() or 1)) as pool:
        for future in as_completed([pool.submit(run_check, check, root) for check in selected]):
            outcome = future.result()
            ok = ok and outcome.ok
            verdict = "ok  " if outcome.ok else "FAIL"
            print(f"{verdict}  {outcome.check.name:<18} {outcome.seconds:5.1f} s", flush=True)
            if not outcome.ok:
                print("      " + "\n      ".join(outcome.output.strip().splitlines()), flush=True)
    return ok


def main(argv: Sequence[str]) -> int:
    """Check everything; takes no arguments."""
    if argv:
        asked = argv[0] in {"-h", "--help"}
        print(
            "usage: ./dev check   (lint, format, types, import contracts)",
            file=sys.stdout if asked else sys.stderr,
        )
        return 0 if asked else 2
    return 0 if run_all() else 1
