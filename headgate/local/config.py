"""The `local:` section of a site document as frozen types: what is published for other components."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headgate.config.pattern import Pattern, patterns
from headgate.config.reader import Problems, Section

MIN_INTERVAL_S = 0.1
MAX_INTERVAL_S = 3_600.0


@dataclass(frozen=True, slots=True)
class LocalConfig:
    """Series whose newest values are published, each device at most every `interval_ms`; series whose closed
    windows are; and whether events of alarms are. Nothing unless it is asked for.
    """

    live: tuple[Pattern, ...] = ()
    interval_ms: int = 1_000
    windows: tuple[Pattern, ...] = ()
    alarms: bool = False


def parse(section: Section) -> LocalConfig:
    """Read the `local:` section; faults go to the section's problems (for `parse_sections`)."""
    live: tuple[Pattern, ...] = ()
    windows: tuple[Pattern, ...] = ()
    interval_s = 1.0
    if section.has("live"):
        given = section.section("live")
        live = patterns(given, "series")
        interval_s = given.number("interval_s", 1.0, low=MIN_INTERVAL_S, high=MAX_INTERVAL_S)
        given.close()
    if section.has("windows"):
        given = section.section("windows")
        windows = patterns(given, "series")
        given.close()
    alarms = section.boolean("alarms", False)
    section.close()
    return LocalConfig(live, round(1000 * interval_s), windows, alarms)


def parse_mapping(values: Mapping[str, Any], source: str = "local") -> LocalConfig:
    """Read the section on its own. Raises Reject with every fault."""
    problems = Problems(source)
    config = parse(Section(values, "", problems))
    problems.reject_if_any()
    return config
