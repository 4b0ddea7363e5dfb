"""The form of every benchmark: scenarios with figures, a table with the goal beside each, or JSON.

    def main(argv: Sequence[str]) -> int:
        return run("gateway", argv, [Scenario("idle", idle, {"pss_split_mb": at_most(120)})])

A scenario is measured by a function that returns its figures by name; a name ends in its unit, or in
`.p50` and the like of a distribution, which JSON gives as an object `{"latency_ms": {"p50": ...}}`. Loads and
servers run in processes of their own; whatever these print must not reach this process's standard output.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import json
import os
import platform
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TextIO

from rich.console import Console
from rich.table import Table

Figure = float | int | str | None
"""A measured value; None where it could not be measured, with the reason in a figure of text."""

Measure = Callable[[], Mapping[str, Figure]]


@dataclass(frozen=True, slots=True)
class Goal:
    """What a figure is to be."""

    limit: float
    better: Literal["lower", "higher"]

    def met(self, value: Figure) -> bool | None:
        """Whether `value` meets the goal; None where there is no number."""
        if value is None or isinstance(value, str):
            return None
        return value <= self.limit if self.better == "lower" else value >= self.limit

    def __str__(self) -> str:
        return f"{'≤' if self.better == 'lower' else '≥'} {self.limit:g}"


def at_most(limit: float) -> Goal:
    """A goal for what should be small."""
    return Goal(limit, "lower")


def at_least(limit: float) -> Goal:
    """A goal for what should be large."""
    return Goal(limit, "higher")


@dataclass(frozen=True, slots=True)
class Scenario:
    """One situation in which a benchmark measures."""

    name: str
    measure: Measure
    goals: Mapping[str, Goal] = field(default_factory=dict)


def run(bench: str, argv: Sequence[str], scenarios: Sequence[Scenario], *, more: str = "") -> int:
    """Measure and report. Returns 0 when it ran, whether or not goals were met: a figure is no verdict.

    `more`: options that the caller took out of `argv` already, for the usage.
    """
    parser = argparse.ArgumentParser(prog=f"./dev bench {bench} {more}".rstrip())
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else")
    parser.add_argument("scenarios", nargs="*", help="only these: " + ", ".join(s.name for s in scenarios))
    chosen = parser.parse_args(argv)
    selected = [s for s in scenarios if not chosen.scenarios or s.name in chosen.scenarios]
    for name in chosen.scenarios:
        if name not in {s.name for s in scenarios}:
            close = difflib.get_close_matches(name, [s.name for s in scenarios], 1)
            parser.error(f"unknown scenario {name!r}" + (f"; did you mean {close[0]}?" if close else ""))
    figures = {}
    for scenario in selected:
        print(f"{bench}: {scenario.name} ...", file=sys.stderr, flush=True)
        with contextlib.redirect_stdout(sys.stderr):
            figures[scenario.name] = dict(scenario.measure())
    if chosen.json:
        print(as_json(bench, machine(), figures))
    else:
        print_table(bench, machine(), selected, figures, sys.stdout)
    return 0


def as_json(bench: str, about: Mapping[str, Figure], figures: Mapping[str, Mapping[str, Figure]]) -> str:
    """The result as one line of JSON."""
    scenarios = [{"name": name, **_nested(values)} for name, values in figures.items()]
    return json.dumps({"bench": bench, "machine": dict(about), "scenarios": scenarios}, allow_nan=False)


def _nested(values: Mapping[str, Figure]) -> dict[str, Figure | dict[str, Figure]]:
    found: dict[str, Figure | dict[str, Figure]] = {}
    for name, value in values.items():
        whole, dot, part = name.partition(".")
        if dot:
            inside = found.setdefault(whole, {})
            assert isinstance(inside, dict), f"{whole} is a figure and a distribution"
            inside[part] = value
        else:
            found[name] = value
    return found


def print_table(
    bench: str,
    about: Mapping[str, Figure],
    scenarios: Sequence[Scenario],
    figures: Mapping[str, Mapping[str, Figure]],
    out: TextIO,
) -> None:
    """The result for people: every figure with its goal, and goals without a figure as not measured."""
    caption = f"{about['cpu']}, {about['cores']} cores, {about['memory_mb']} MB, Python {about['python']}"
    table = Table(title=f"bench {bench}", caption=caption, title_justify="left", caption_justify="left")
    for column, justify in (
        ("scenario", "left"),
        ("figure", "left"),
        ("value", "right"),
        ("goal", "right"),
        ("", "left"),
    ):
        table.add_column(column, justify="right" if justify == "right" else "left")
    for scenario in scenarios:
        values = figures[scenario.name]
        for name in [*values, *(goal for goal in scenario.goals if goal not in values)]:
            value, goal = values.get(name), scenario.goals.get(name)
            met = goal.met(value) if goal else None
            mark = "" if met is None else "[green]met[/]" if met else "[red]missed[/]"
            table.add_row(scenario.name, name, show(value), str(goal) if goal else "", mark)
    Console(file=out).print(table)


def show(value: Figure) -> str:
    """A figure with as many digits as anybody reads."""
    if value is None:
        return "not measured"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 1_000 else f"{value:.4g}"
    return f"{value:,}" if isinstance(value, int) else value


def machine() -> dict[str, Figure]:
    """What a reader must know of the machine to compare figures."""
    return {
        "cpu": _first_line("/proc/cpuinfo", "model name") or platform.machine(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1_000_000,
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
    }


def _first_line(path: str, key: str) -> str:
    with contextlib.suppress(OSError):
        for line in Path(path).read_text("utf-8").splitlines():
            name, _, value = line.partition(":")
            if name.strip() == key:
                return value.strip()
    return ""
