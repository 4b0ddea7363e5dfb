"""What the site document lets the cloud do: its section `requests`."""

from __future__ import annotations

from dataclasses import dataclass

from headgate.config.reader import Section


@dataclass(slots=True)
class Permits:
    """`writes`: whether devices may be written at all; each tag must allow it as well."""

    writes: bool = False


def parse(section: Section) -> Permits:
    """Read the `requests:` section; faults go to the section's problems (for `parse_sections`)."""
    permits = Permits(section.boolean("writes", False))
    section.close()
    return permits
