"""The `alarms:` section of a site document as frozen types: of which series what is to be told at once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from headgate.config.pattern import Pattern, patterns
from headgate.config.reader import Problems, Section
from headgate.model import NAME_PART

Condition = Literal["above", "below", "rise_per_s", "fall_per_s", "stale_s"]
CONDITIONS: tuple[Condition, ...] = get_args(Condition)
Severity = Literal["info", "warning", "critical"]
SEVERITIES: tuple[Severity, ...] = get_args(Severity)
MAX_ALARMS = 500
MAX_SECONDS = 7 * 86_400.0
MAX_CONTEXT_S = 3_600.0
MAX_CAPTURED = 10


@dataclass(frozen=True, slots=True)
class Context:
    """Raw samples around the moment it is raised, from `before_ms` before to `after_ms` after it.

    `match`: of which series; none: of the one that raised it.
    """

    before_ms: int
    after_ms: int
    match: tuple[Pattern, ...] = ()


@dataclass(frozen=True, slots=True)
class Capture:
    """The `newest` files of a source of the file courier, announced when it is raised."""

    source: str
    newest: int = 1


@dataclass(frozen=True, slots=True)
class Alarm:
    """Raised when the condition has held for `hold_ms`; cleared when the value is back by the hysteresis.

    `above`, `below`: `limit` in the series' unit. `rise_per_s`, `fall_per_s`: a change of so much per second
    between two samples `over_ms` apart or more. `stale_s`: no sample that counts for so many seconds.
    """

    name: str
    match: tuple[Pattern, ...]
    condition: Condition
    limit: float
    hysteresis: float = 0.0
    hold_ms: int = 0
    over_ms: int = 0
    severity: Severity = "warning"
    context: Context | None = None
    capture: Capture | None = None

    @property
    def rule(self) -> str:
        """What the state of one of its series depends on."""
        return f"{self.condition} {self.limit!r} {self.hysteresis!r} {self.hold_ms} {self.over_ms}"

    def watches(self, series: str) -> bool:
        """Whether it is about the series of that name."""
        return any(pattern.matches(series) for pattern in self.match)


AlarmsConfig = tuple[Alarm, ...]


def parse(section: Section) -> AlarmsConfig:
    """Read the `alarms:` section; faults go to the section's problems (for `parse_sections`)."""
    entries = section.sections("rules")
    if len(entries) > MAX_ALARMS:
        section.fault("rules", f"has {len(entries)} entries, at most {MAX_ALARMS} are read")
    alarms = tuple(_alarm(each) for each in entries[:MAX_ALARMS])
    first: dict[str, int] = {}
    for i, alarm in enumerate(alarms):
        if alarm.name and first.setdefault(alarm.name, i) != i:
            there = f"by {section.at('rules')}[{first[alarm.name]}]"
            section.problems.add(f"{section.at('rules')}[{i}].name", f"{alarm.name!r} is taken", there)
    section.close()
    return alarms


def parse_mapping(values: Mapping[str, Any], source: str = "alarms") -> AlarmsConfig:
    """Read the section on its own. Raises Reject with every fault."""
    problems = Problems(source)
    config = parse(Section(values, "", problems))
    problems.reject_if_any()
    return config


def _alarm(section: Section) -> Alarm:
    name = section.text("name", pattern=NAME_PART.pattern, hint="1 to 64 of A-Z a-z 0-9 _ . -")
    match = patterns(section, "series")
    given = [condition for condition in CONDITIONS if section.has(condition)]
    if len(given) != 1:
        found = "none" if not given else " and ".join(given)
        known = "one of " + ", ".join(CONDITIONS)
        section.problems.add(section.path, f"exactly one condition is needed, found {found}", known)
    condition: Condition = given[0] if given else "above"
    limit = _limit(section, condition) if given else 0.0
    timed = condition == "stale_s"
    hysteresis = section.number("hysteresis", 0.0, low=0)
    hold_s = section.number("hold_s", 0.0, low=0, high=MAX_SECONDS)
    over_s = section.number("over_s", 0.0, low=0, high=MAX_SECONDS)
    for key, unused in (
        ("hysteresis", timed),
        ("hold_s", timed),
        ("over_s", condition not in ("rise_per_s", "fall_per_s")),
    ):
        if unused and section.has(key):
            section.fault(key, f"means nothing beside {condition}")
    severity = section.choice("severity", SEVERITIES, "warning")
    context = _context(section.section("context")) if section.has("context") else None
    capture = _capture(section.section("capture")) if section.has("capture") else None
    section.close()
    return Alarm(
        name,
        match,
        condition,
        limit,
        hysteresis,
        round(1000 * hold_s),
        round(1000 * over_s),
        severity,
        context,
        capture,
    )


def _context(section: Section) -> Context:
    before_s = section.number("before_s", 10.0, low=0, high=MAX_CONTEXT_S)
    after_s = section.number("after_s", 10.0, low=0, high=MAX_CONTEXT_S)
    match = patterns(section, "series") if section.has("series") else ()
    section.close()
    return Context(round(1000 * before_s), round(1000 * after_s), match)


def _capture(section: Section) -> Capture:
    source = section.text("source", pattern=NAME_PART.pattern, hint="the name of a source in section files")
    newest = section.integer("newest", 1, low=1, high=MAX_CAPTURED)
    section.close()
    return Capture(source, newest)


def _limit(section: Section, condition: Condition) -> float:
    match condition:
        case "stale_s":
            return section.number(condition, low=1, high=MAX_SECONDS)
        case "rise_per_s" | "fall_per_s":
            return section.number(condition, low=0)
        case _:
            return section.number(condition)
