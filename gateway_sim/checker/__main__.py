"""`python -m gateway_sim.checker`: judge an interval; exit 0 if all holds, 1 if not, 2 if it cannot tell."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from gateway_sim.checker.checker import Checker
from gateway_sim.checker.result import CloudResult, Result, TelemetryResult, WindowsResult
from gateway_sim.checker.tables import Cloud, TablesError, cloud_of
from gateway_sim.devices.plantfile import PlantError


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge and print; the exit code says what came of it."""
    options = _parser().parse_args(arguments)
    try:
        cloud = Cloud(options.endpoint) if options.endpoint else cloud_of(options.cloud)
        checker = Checker(options.plant, cloud, thing=options.thing, window_s=options.window)
        checker.look()
        result = checker.result(options.since, options.until)
    except (PlantError, TablesError) as error:
        print(f"checker: {error}", file=sys.stderr)
        return 2
    if options.json:
        print(json.dumps({"ok": result.ok, **asdict(result)}))
    else:
        print("\n".join(lines(result)))
    return 0 if result.ok else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gateway_sim.checker", description=__doc__)
    parser.add_argument("--plant", type=Path, required=True, help="the directory that holds plant.json")
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--cloud", type=Path, metavar="FILE", help="the simulated cloud's cloud.json")
    where.add_argument("--endpoint", metavar="URL", help="where DynamoDB answers, tables named as in wire.md")
    parser.add_argument("--since", type=int, default=0, metavar="MS", help="UTC ms, inclusive (default: all)")
    parser.add_argument("--until", type=int, default=1 << 53, metavar="MS", help="UTC ms, exclusive")
    parser.add_argument("--thing", help="judge this gateway's envelopes only")
    parser.add_argument("--window", type=int, default=10, metavar="S", help="window length in s (default 10)")
    parser.add_argument("--json", action="store_true", help="one object on standard output")
    return parser


def lines(result: Result) -> list[str]:
    """The result for a human: a line per part, then the examples."""
    parts: dict[str, TelemetryResult | WindowsResult | CloudResult]
    parts = {"telemetry": result.telemetry, "windows": result.windows, "cloud": result.cloud}
    text: list[str] = []
    for name, part in parts.items():
        numbers = {key: value for key, value in asdict(part).items() if isinstance(value, int)}
        shown = "  ".join(f"{key} {value:,}" for key, value in numbers.items())
        text.append(f"{name:<10} {'ok ' if part.ok else 'NOT OK'} {shown}")
        text += [f"    {kind}: {words}" for kind, found in part.examples.items() for words in found]
    text += [f"    missing: {name}" for name in result.telemetry.missing]
    return text


if __name__ == "__main__":
    sys.exit(main())
