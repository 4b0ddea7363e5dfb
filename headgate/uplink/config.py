"""The `uplink:` section of a site document as frozen types: how the cloud is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from headgate.config.reader import Problems, Section

Codec = Literal["json", "compact"]
CODECS: tuple[Codec, ...] = get_args(Codec)
Means = Literal["rounded", "exact"]
MEANS: tuple[Means, ...] = get_args(Means)


@dataclass(frozen=True, slots=True)
class UplinkConfig:
    """`codec` of samples and windows from the next envelope on; alarms and reports are always JSON.

    `means`: whether a window's means and deviations are rounded to what its samples can tell (docs/wire.md).
    """

    codec: Codec = "json"
    means: Means = "rounded"


def parse(section: Section) -> UplinkConfig:
    """Read the `uplink:` section; faults go to the section's problems (for `parse_sections`)."""
    codec = section.choice("codec", CODECS, "json")
    means = section.choice("means", MEANS, "rounded")
    section.close()
    return UplinkConfig(codec, means)


def parse_mapping(values: Mapping[str, Any], source: str = "uplink") -> UplinkConfig:
    """Read the section on its own. Raises Reject with every fault."""
    problems = Problems(source)
    config = parse(Section(values, "", problems))
    problems.reject_if_any()
    return config
