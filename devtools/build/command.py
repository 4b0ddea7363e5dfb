"""The command line of `./dev build`."""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from devtools.build.stage import inputs_digest, is_current, stage
from devtools.build.wheels import MACHINES, PYTHONS, BuildError, Target, this_machine
from devtools.paths import BUILD, CACHE, ROOT
from headgate.errors import Reject


def main(argv: Sequence[str]) -> int:
    """Stage the components, unless they are as they would become."""
    targets = _targets(argv)
    shown = BUILD.relative_to(ROOT)
    try:
        with one_at_a_time(CACHE):
            if is_current(BUILD, inputs_digest(ROOT, targets)):
                print(f"{shown} is up to date")
                return 0
            staged = stage(ROOT, BUILD, CACHE, targets)
    except (Reject, BuildError) as error:
        print(f"dev build: {error}", file=sys.stderr)
        return 1
    print("\n".join(staged))
    print(f"staged in {shown} for {', '.join(map(str, targets))}")
    return 0


@contextlib.contextmanager
def one_at_a_time(cache: Path) -> Iterator[None]:
    """Wait for another build in this checkout: two would swap the same folders under each other."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "build.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _targets(argv: Sequence[str]) -> list[Target]:
    here = this_machine()
    parser = argparse.ArgumentParser(
        prog="./dev build", description="Stage every component in greengrass-build/."
    )
    told = "may be repeated; default: this machine's"
    parser.add_argument(
        "--platform", action="append", choices=MACHINES, help=f"machine of the gateways ({told})"
    )
    parser.add_argument("--python", action="append", choices=PYTHONS, help=f"Python of the gateways ({told})")
    chosen = parser.parse_args(argv)
    machines = chosen.platform or [here.machine]
    pythons = chosen.python or [here.python]
    return sorted({Target(machine, python) for machine in machines for python in pythons})
