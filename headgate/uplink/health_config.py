"""The `health:` section of a site document as a frozen type: how often the gateway says how it is."""

from __future__ import annotations

from dataclasses import dataclass

from headgate.config.reader import Section

DEFAULT_INTERVAL_S = 300


@dataclass(frozen=True, slots=True)
class HealthConfig:
    """The `health:` section of a site document."""

    interval_s: int = DEFAULT_INTERVAL_S


def parse(section: Section) -> HealthConfig:
    """Read the section; faults go to the section's problems."""
    config = HealthConfig(section.integer("interval_s", DEFAULT_INTERVAL_S, low=10, high=86_400))
    section.close()
    return config
