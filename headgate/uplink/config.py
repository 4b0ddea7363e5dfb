"""The `uplink:` section of a site document as a frozen type: how envelopes go to the cloud."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from headgate.config.reader import Problems, Section
from headgate.uplink import budget, prices
from headgate.uplink.budget import Budget
from headgate.uplink.prices import Prices

Mode = Literal["acknowledged", "handed_over", "plain"]
MODES: tuple[Mode, ...] = get_args(Mode)


@dataclass(frozen=True, slots=True)
class UplinkConfig:
    """What a site wants of its uplink; every default is what a site without the section gets."""

    mode: Mode = "acknowledged"
    prices: Prices = field(default_factory=Prices)
    budget: Budget = field(default_factory=Budget)


def parse(section: Section) -> UplinkConfig:
    """Read the `uplink:` section; faults go to the section's problems (for `parse_sections`)."""
    found = UplinkConfig(
        section.choice("mode", MODES, "acknowledged"),
        prices.parse(section.section("prices")),
        budget.parse(section.section("budget")),
    )
    section.close()
    return found


def parse_mapping(values: Mapping[str, Any], source: str = "uplink") -> UplinkConfig:
    """Read the section on its own. Raises Reject with every fault."""
    problems = Problems(source)
    config = parse(Section(values, "", problems))
    problems.reject_if_any()
    return config
