"""`./dev bench NAME [--json] ...`: hands over to bench/NAME.py."""

from __future__ import annotations

import ast
import difflib
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from devtools.paths import ROOT

NOT_BENCHMARKS = {"__init__", "form"}


def main(argv: Sequence[str]) -> int:
    """Run one benchmark, or list those there are."""
    known = benchmarks(ROOT / "bench")
    if not argv or argv[0] in {"-h", "--help"}:
        print("usage: ./dev bench NAME [--json]\n")
        print("\n".join(f"  {name:<12} {about}" for name, about in known.items()) or "  there is none yet")
        return 0
    name = argv[0]
    if name not in known:
        close = difflib.get_close_matches(name, known, 1)
        hint = f"did you mean {close[0]}?" if close else "known: " + (", ".join(known) or "none yet")
        print(f"dev bench: unknown benchmark {name!r}; {hint}", file=sys.stderr)
        return 2
    return int(importlib.import_module(f"bench.{name}").main(argv[1:]))


def benchmarks(folder: Path) -> dict[str, str]:
    """The benchmarks in `folder`, each with the first line of what it says of itself."""
    found = {}
    for path in sorted(folder.glob("*.py")):
        if path.stem not in NOT_BENCHMARKS and not path.stem.startswith("_"):
            about = ast.get_docstring(ast.parse(path.read_text("utf-8"))) or ""
            found[path.stem] = about.partition("\n")[0]
    return found
