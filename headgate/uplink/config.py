"""The `uplink:` section of a site document as a frozen type: how envelopes go to the cloud."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from headgate.config.reader import Problems, Section


@dataclass(frozen=True, slots=True)
class UplinkConfig:
    """What a site wants of its uplink; every default is what a site without the section gets."""


def parse(section: Section) -> UplinkConfig:
    """Read the `uplink:` section; faults go to the section's problems (for `parse_sections`)."""
    section.close()
    return UplinkConfig()


def parse_mapping(values: Mapping[str, Any], source: str = "uplink") -> UplinkConfig:
    """Read the section on its own. Raises Reject with every fault."""
    problems = Problems(source)
    config = parse(Section(values, "", problems))
    problems.reject_if_any()
    return config
