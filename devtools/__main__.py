"""Hands a command of `./dev` to the module that does it; imports nothing else, so that starting is quick."""

from __future__ import annotations

import difflib
import importlib
import importlib.util
import sys

COMMANDS = {
    "demo": "gateway_sim.demo.__main__",
    "test": "devtools.test",
    "check": "devtools.check",
    "bench": "devtools.bench",
    "build": "devtools.build.command",
    "lock": "devtools.lock",
    "help": "devtools.help",
}
"""Each module has `main(argv) -> exit code`."""


def main(argv: list[str]) -> int:
    """Run `./dev argv...`."""
    command = argv[0] if argv else "help"
    if command in {"-h", "--help"}:
        command = "help"
    if command not in COMMANDS:
        close = difflib.get_close_matches(command, COMMANDS, 1)
        meant = f"did you mean ./dev {close[0]}?" if close else "./dev help lists the commands."
        print(f"dev: unknown command {command!r}; {meant}", file=sys.stderr)
        return 2
    module = COMMANDS[command]
    if not _exists(module):
        print(f"dev: {command} is not built yet ({module} is missing)", file=sys.stderr)
        return 1
    return int(importlib.import_module(module).main(argv[1:]))


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
