"""`./dev test`: the checks and all tests; with arguments, pytest with these; with --slow, the long suites."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from collections.abc import Sequence
from typing import NoReturn

from devtools import check
from devtools.paths import ROOT

SLOW_TIMEOUT_S = 1_800
"""For one test of a long suite; others have pyproject.toml's."""

MAX_WORKERS = 4


def main(argv: Sequence[str]) -> int:
    """See the module. Does not return once pytest runs."""
    if argv in (["-h"], ["--help"]):
        print("usage: ./dev test                           check, then every test")
        print(
            "       ./dev test PYTEST_ARGUMENTS          these tests only: ./dev test tests/unit -k journal"
        )
        print("       ./dev test --slow [NAME] [--seed N]  the long suites, or one")
        return 0
    if any(word.partition("=")[0] == "--slow" for word in argv):
        _pytest(slow_arguments(argv))
    elif argv:
        _pytest(argv)
    elif check.run_all():
        workers = min(MAX_WORKERS, os.cpu_count() or 1)
        # The nucleus suite wants a nucleus; tests/integration/test_nucleus_contract.py runs it over both.
        _pytest(["-n", str(workers), "--dist", "loadgroup", "--ignore", "tests/contract/nucleus"])
    print("dev test: the checks failed (see above); no test ran", file=sys.stderr)
    return 1


def slow_arguments(argv: Sequence[str]) -> list[str]:
    """What pytest gets for `./dev test --slow ...`; prints the seed, which is a new one unless given."""
    parser = argparse.ArgumentParser(prog="./dev test", allow_abbrev=False)
    parser.add_argument("--slow", nargs="?", const="all", metavar="NAME")
    parser.add_argument("--seed", type=int)
    chosen, rest = parser.parse_known_args(argv)
    seed = secrets.randbelow(10**9) if chosen.seed is None else chosen.seed
    print(f"seed {seed} (again: ./dev test --slow {chosen.slow} --seed {seed})", flush=True)
    return ["--slow", chosen.slow, "--seed", str(seed), "--timeout", str(SLOW_TIMEOUT_S), *rest]


def _pytest(arguments: Sequence[str]) -> NoReturn:
    """Become pytest."""
    os.chdir(ROOT)
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "pytest", *arguments])
