"""`./dev help`: the page a newcomer reads first."""

from __future__ import annotations

from collections.abc import Sequence

from devtools.paths import project_version

PAGE = """\
Headgate {version}: an edge gateway runtime made of AWS IoT Greengrass components.

  ./dev demo     A gateway, its Modbus devices and its cloud, all simulated on this machine: watch
                 telemetry travel from register to acknowledged record, through faults.
                   --profile classic|lite   which Greengrass nucleus it plays
                   --once --json            no questions; one JSON object as the result
                   --keep                   leave it running, and say how to poke it
  ./dev test     Everything that must hold before a change is done: the checks, then all tests.
                   tests/unit -k journal    just these tests, without the checks
                   --slow [NAME] [--seed N] the long, seeded suites
  ./dev check    Lint, format, types (also for Windows), and who may import whom.
  ./dev bench    Measure, with the goal beside each figure.  ./dev bench NAME [--json]
  ./dev build    Stage recipes and artifacts in greengrass-build/, as a nucleus takes them.
                   --platform aarch64 --python 3.13   for a gateway unlike this machine
  ./dev lock     Lock the requirements again after changing requirements/*.in.

The first run sets this machine up: a Python environment in .venv and, where needed, mosquitto.
Start with ./dev demo. Then read README.md (what it is), docs/wire.md (what crosses processes and the
network) and docs/decisions/ (why it is so).
"""


def main(argv: Sequence[str]) -> int:
    """Print the page."""
    print(PAGE.format(version=project_version()), end="")
    return 0
