"""`./dev lock`: makes requirements/*.txt from requirements/*.in, with hashes and for every platform.

Needs uv (https://docs.astral.sh/uv), which is no part of the environment: locking is rare and is reviewed.
The gateway's lock comes first and constrains the developer's, so that tests run what gateways run; that one
constrains what the BLE decoders are compared with. The peer of a benchmark has an environment of its own.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Sequence

from devtools.paths import ROOT

OPTIONS = (
    "--universal",  # one lock for every machine and Python
    "--generate-hashes",
    "--no-emit-index-url",  # a lock names packages, not where this machine got them
    "--no-emit-find-links",
    "--no-header",
    "--quiet",
    "--python-version",
    "3.11",
)


def commands(extra: Sequence[str]) -> list[list[str]]:
    """What is run, in order; `extra` goes to uv (`--upgrade`, `--upgrade-package numpy`)."""
    first = [
        "uv",
        "pip",
        "compile",
        *OPTIONS,
        *extra,
        "requirements/gateway.in",
        "-o",
        "requirements/gateway.txt",
    ]
    second = ["uv", "pip", "compile", *OPTIONS, *extra, "-c", "requirements/gateway.txt"]
    third = ["uv", "pip", "compile", *OPTIONS, *extra, "-c", "requirements/dev.txt"]
    fourth = ["uv", "pip", "compile", *OPTIONS, *extra]
    return [
        first,
        [*second, "requirements/dev.in", "-o", "requirements/dev.txt"],
        [*third, "requirements/crosscheck.in", "-o", "requirements/crosscheck.txt"],
        [*fourth, "requirements/peer.in", "-o", "requirements/peer.txt"],
    ]


def main(argv: Sequence[str]) -> int:
    """Lock; arguments go to uv."""
    if argv and argv[0] in {"-h", "--help"}:
        print("usage: ./dev lock [--upgrade | --upgrade-package NAME]")
        return 0
    if shutil.which("uv") is None:
        print(
            "dev lock: uv is missing; see https://docs.astral.sh/uv (pipx install uv). It would run:",
            file=sys.stderr,
        )
        print("\n".join("  " + " ".join(command) for command in commands(argv)), file=sys.stderr)
        return 69
    for command in commands(argv):
        done = subprocess.run(command, cwd=ROOT, check=False)
        if done.returncode:
            return done.returncode
    return 0
