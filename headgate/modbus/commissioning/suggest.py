"""The snippet of a site document for what a scan found; pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from headgate.modbus.commissioning.scan import FoundUnit
from headgate.modbus.commissioning.settings import settings

_WORDS = ("no", "yes", "on", "off", "true", "false", "null")
"""What YAML does not take for text; neither a lone N, in YAML 1.1."""


def suggested_site(found: Sequence[FoundUnit]) -> str:
    """A site document for what was found, to be checked: what has no plausible profile is commented out."""
    lines = ["schema: 1", "modbus:", "  devices:"]
    if not any(each.trials for each in found):
        lines[-1] = "  devices: []"
    for number, each in enumerate(found, 1):
        title = each.identity.title()
        about = f"unit {each.unit}" + (f", {title}" if title else "")
        transport = _flow(settings(each.transport))
        if each.trials:
            best, *others = each.trials
            equal = [o.profile for o in others if o.refused == best.refused]
            also = f"; so are {', '.join(equal)}" if equal else ""
            lines += [
                f"    # {about}: plausible, compare with its display{also}",
                f"    - name: device-{number}",
                f"      profile: {best.profile}",
                f"      unit: {each.unit}",
                f"      transport: {transport}",
            ]
        else:
            lines += [
                f"    # {about}: no profile looks plausible; give its groups and tags",
                f"    # - name: device-{number}",
                f"    #   unit: {each.unit}",
                f"    #   transport: {transport}",
                "    #   groups: [...]",
            ]
    return "\n".join(lines) + "\n"


def _flow(mapping: dict[str, Any]) -> str:
    """YAML in a line. Words that need no quotes go without, all others as JSON writes them, which is YAML."""
    items = []
    for key, value in mapping.items():
        plain = isinstance(value, str) and value.replace("-", "").replace("_", "").isalpha()
        # YAML 1.1 takes a lone N for no.
        bare = (
            plain
            and len(value) > 1
            and value.lower() not in ("no", "yes", "on", "off", "true", "false", "null")
        )
        items.append(f"{key}: {value if bare else json.dumps(value)}")
    return "{" + ", ".join(items) + "}"
