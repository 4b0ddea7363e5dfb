"""The `uplink:` section of a site document as frozen types: how the cloud is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from headgate.config.reader import Problems, Section, describe

Codec = Literal["json", "compact"]
CODECS: tuple[Codec, ...] = get_args(Codec)
Means = Literal["rounded", "exact"]
STATISTICS = ("mean", "min", "max", "std", "first", "last")
MEANS: tuple[Means, ...] = get_args(Means)


@dataclass(frozen=True, slots=True)
class UplinkConfig:
    """`codec` of samples and windows from the next envelope on; alarms and reports are always JSON.

    `means`: whether a window's means and deviations are rounded to what its samples can tell (docs/wire.md).
    `statistics`: which of these a window's rows have, beside the count and what `windows` asks for.
    """

    codec: Codec = "json"
    means: Means = "rounded"
    statistics: tuple[str, ...] = STATISTICS


def parse(section: Section) -> UplinkConfig:
    """Read the `uplink:` section; faults go to the section's problems (for `parse_sections`)."""
    codec = section.choice("codec", CODECS, "json")
    means = section.choice("means", MEANS, "rounded")
    statistics = _statistics(section)
    section.close()
    return UplinkConfig(codec, means, statistics)


def _statistics(section: Section) -> tuple[str, ...]:
    if not section.has("statistics"):
        return STATISTICS
    found = section.value("statistics")
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        section.fault(
            "statistics", f"expected a list, found {describe(found)}", f"of {', '.join(STATISTICS)}"
        )
        return STATISTICS
    for name in found:
        if name not in STATISTICS:
            section.fault("statistics", f"{name!r} is none", f"one of {', '.join(STATISTICS)}")
    if "mean" not in found:
        section.fault("statistics", "lacks mean", "the others are told from it: add mean")
    return tuple(name for name in STATISTICS if name in found)


def parse_mapping(values: Mapping[str, Any], source: str = "uplink") -> UplinkConfig:
    """Read the section on its own. Raises Reject with every fault."""
    problems = Problems(source)
    config = parse(Section(values, "", problems))
    problems.reject_if_any()
    return config
