"""`python -m gateway_sim.checker`: judge an interval; exit 0 if all holds, 1 if not, 2 if it cannot tell."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from gateway_sim.ble.blefile import BleError
from gateway_sim.checker.checker import Checker
from gateway_sim.checker.result import CloudResult, Result, TelemetryResult, WindowsResult
from gateway_sim.checker.tables import Cloud, TablesError, cloud_of
from gateway_sim.devices.plantfile import PlantError


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge and print; the exit code says what came of it."""
    options = _parser().parse_args(arguments)
    try:
        cloud = Cloud(options.endpoint) if options.endpoint else cloud_of(options.cloud)
        checker = Checker(
            options.plant, cloud, ble_directory=options.ble, thing=options.thing, window_s=options.window
        )
        checker.look()
        result = checker.result(options.since, options.until)
    except (PlantError, BleError, TablesError) as error:
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
    parser.add_argument("--ble", type=Path, metavar="DIR", help="the directory that holds ble.json, if any")
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
        text.append(f"{name:<10} {'ok ' if part.ok else 'NOT OK'} {_shown(asdict(part))}")
        text += [f"    {kind}: {words}" for kind, found in part.examples.items() for words in found]
        if isinstance(part, TelemetryResult):
            text += [f"    {bus:<6} {_shown(asdict(sums))}" for bus, sums in part.buses.items()]
    text += [f"    missing: {name}" for name in result.telemetry.missing]
    return text


def _shown(numbers: Mapping[str, object]) -> str:
    return "  ".join(f"{key} {value:,}" for key, value in numbers.items() if isinstance(value, int))


if __name__ == "__main__":
    sys.exit(main())
