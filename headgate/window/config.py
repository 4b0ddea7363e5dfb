"""The `windows:` section of a site document as frozen types: which windows are made of which series."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from headgate.config.pattern import Pattern, patterns
from headgate.config.reader import Problems, Section, describe
from headgate.model import Series
from headgate.window.definition import STATISTICS, Definition, Statistic
from headgate.window.part import Rule

DEFAULT_LENGTH_S = 10.0
MAX_LENGTH_S = 3_600.0
"""The journal is kept, and read again at start, for as long as a window is open."""
MAX_STEPS = 60
"""Steps of one window: each takes memory and, when the window closes, time."""
MAX_HOLD_S = 86_400.0
MAX_LATENESS_S = 600.0
MAX_RULES = 500
MAX_PERCENTILES = 10


@dataclass(frozen=True, slots=True)
class SeriesRule:
    """Of series that match: their definition, None for no windows at all."""

    match: tuple[Pattern, ...]
    definition: Definition | None


@dataclass(frozen=True, slots=True)
class WindowsConfig:
    """The first of `rules` that matches a series says what is made of it; else `default` does."""

    default: Definition = field(
        default_factory=lambda: Definition(round(1000 * DEFAULT_LENGTH_S), round(1000 * DEFAULT_LENGTH_S))
    )
    lateness_ms: int = 1_000
    rules: tuple[SeriesRule, ...] = ()

    def define(self, series: Series) -> tuple[Definition, ...]:
        """What is made of a series; none or one."""
        for rule in self.rules:
            if any(pattern.matches(series.name) for pattern in rule.match):
                return () if rule.definition is None else (rule.definition,)
        return (self.default,)


def parse(section: Section) -> WindowsConfig:
    """Read the `windows:` section; faults go to the section's problems (for `parse_sections`)."""
    default = _definition(section, WindowsConfig().default)
    lateness_s = section.number("lateness_s", 1.0, low=0, high=MAX_LATENESS_S)
    found = section.sections("series")
    if len(found) > MAX_RULES:
        section.fault("series", f"has {len(found)} entries, at most {MAX_RULES} are read")
    rules = tuple(_rule(each, default) for each in found[:MAX_RULES])
    section.close()
    return WindowsConfig(default, round(1000 * lateness_s), rules)


def parse_mapping(values: Mapping[str, Any], source: str = "windows") -> WindowsConfig:
    """Read the section on its own. Raises Reject with every fault."""
    problems = Problems(source)
    config = parse(Section(values, "", problems))
    problems.reject_if_any()
    return config


def _rule(section: Section, default: Definition) -> SeriesRule:
    match = patterns(section, "match")
    skip = section.boolean("skip", False)
    definition = _definition(section, default)
    section.close()
    return SeriesRule(match, None if skip else definition)


def _definition(section: Section, default: Definition) -> Definition:
    """Keys that are missing are the default's; a length without a step gives windows that do not overlap."""
    length_ms = default.length_ms
    step_ms = default.step_ms
    if section.has("length_s"):
        length_ms = step_ms = round(1000 * section.number("length_s", low=1, high=MAX_LENGTH_S))
    if section.has("step_s"):
        step_ms = round(1000 * section.number("step_s", low=0.1, high=MAX_LENGTH_S))
    if length_ms % step_ms or length_ms // step_ms > MAX_STEPS:
        section.fault(
            "step_s",
            f"{step_ms / 1000:g} s do not divide {length_ms / 1000:g} s into 1 to {MAX_STEPS} steps",
        )
        step_ms = length_ms
    hold_s = section.number("hold_s", default.rule.hold_ms / 1000, low=0.001, high=MAX_HOLD_S)
    wrap = _counter(section) if section.has("counter") else default.rule.wrap
    return replace(
        default,
        length_ms=length_ms,
        step_ms=step_ms,
        rule=Rule(round(1000 * hold_s), wrap),
        statistics=_statistics(section) if section.has("statistics") else default.statistics,
        percentiles=_percentiles(section) if section.has("percentiles") else default.percentiles,
    )


def _counter(section: Section) -> int | None:
    value = section.value("counter")
    if isinstance(value, Mapping):
        inner = section.section("counter")
        wrap = inner.integer("wrap", 0, low=2, high=1 << 64) if inner.has("wrap") else 0
        inner.close()
        return wrap
    return 0 if section.boolean("counter", False) else None


def _statistics(section: Section) -> frozenset[Statistic]:
    found: list[Statistic] = []
    for i, word in enumerate(_list(section, "statistics")):
        known = [statistic for statistic in STATISTICS if statistic == word]
        found += known
        if not known:
            section.problems.add(
                f"{section.at('statistics')}[{i}]", f"unknown {word!r}", "known are " + ", ".join(STATISTICS)
            )
    return frozenset(found)


def _percentiles(section: Section) -> tuple[float, ...]:
    values = _list(section, "percentiles")
    found: set[float] = set()
    if len(values) > MAX_PERCENTILES:
        section.fault("percentiles", f"has {len(values)} entries, at most {MAX_PERCENTILES} are made")
    for i, value in enumerate(values):
        text = str(value)
        number = float(text) if re.fullmatch(r"\d{1,3}(\.\d{1,6})?", text) else -1.0
        if not 0 <= number <= 100:
            section.problems.add(
                f"{section.at('percentiles')}[{i}]", f"{describe(value)} is no percentile", "0 to 100"
            )
        found.add(round(number / 100, 8))
    return tuple(sorted(found))


def _list(section: Section, key: str) -> list[object]:
    value = section.value(key)
    if not isinstance(value, list):
        section.fault(key, f"expected a list, found {describe(value)}")
        return []
    return value
