"""What AWS charges for messages: the one table of prices, and how messages are metered."""

from __future__ import annotations

from dataclasses import dataclass

from headgate.config.reader import Section

UNIT_BYTES = 5_120
"""Payload and topic are metered in steps of 5 KB, messages and rules alike (AWS IoT Core pricing page)."""

SOURCE = "AWS IoT Core and AWS IoT Greengrass pricing pages, first tier, us-east-1"
AS_OF = "2026-11"
"""When the defaults of `Prices` were taken from `SOURCE`; yours differ by region and with volume."""

MILLION = 1_000_000
BASIC_INGEST = "$aws/rules/"


@dataclass(frozen=True, slots=True)
class Prices:
    """US dollars, without Greengrass' own price. A message behind Basic Ingest costs one rule and
    one action a unit, any other a message.
    """

    message_usd_per_million: float = 1.00
    rule_usd_per_million: float = 0.15
    action_usd_per_million: float = 0.15

    def usd(self, units: int, *, basic_ingest: bool) -> float:
        """What so many metered units cost."""
        rules = self.rule_usd_per_million + self.action_usd_per_million
        return units * (rules if basic_ingest else self.message_usd_per_million) / MILLION


def units_of(topic: str, size_bytes: int) -> int:
    """Metered units of one message with a payload of `size_bytes`; at least one."""
    return max(1, -(-(len(topic.encode()) + size_bytes) // UNIT_BYTES))


def parse(section: Section) -> Prices:
    """Read `uplink.prices`; what is missing is the default's."""
    default = Prices()
    found = {
        name: section.number(name, getattr(default, name), low=0, high=1e6)
        for name in Prices.__dataclass_fields__
    }
    section.close()
    return Prices(**found)
