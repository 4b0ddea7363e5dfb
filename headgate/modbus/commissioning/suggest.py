"""The snippet of a site document for what a scan found; pure."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from headgate.modbus.commissioning.scan import FoundUnit, likeliest
from headgate.modbus.commissioning.settings import settings

_WORDS = ("no", "yes", "on", "off", "true", "false", "null")
"""What YAML does not take for text; neither a lone N, in YAML 1.1."""


def suggested_site(found: Sequence[FoundUnit]) -> str:
    """A site document for what was found, to be checked.

    Commented out is what has no plausible profile, and what answered with other parameters than most: a line
    has one set of them.
    """
    transports = [each.transport for each in found]
    chosen = max(transports, key=transports.count, default=None)
    blocks = [_device(number, each, alone=each.transport == chosen) for number, each in enumerate(found, 1)]
    some = any((each.trials or _is_sunspec(each)) and each.transport == chosen for each in found)
    head = ["schema: 1", "modbus:", "  devices:" if some else "  devices: []"]
    return "\n".join([*head, *(line for block in blocks for line in block)]) + "\n"


def _device(number: int, found: FoundUnit, *, alone: bool) -> list[str]:
    """The lines of one device; `alone`: its parameters are those that the line has."""
    title = found.identity.title()
    about = f"    # unit {found.unit}" + (f", {title}" if title else "")
    name = f"name: device-{number}"
    where = [f"unit: {found.unit}", f"transport: {_flow(settings(found.transport))}"]
    if _is_sunspec(found):
        lines, why = ["sunspec: {interval_s: 5}", *where], ""
    elif found.trials:
        best, *others = likeliest(found.trials)
        also = f"; so are {', '.join(each.profile for each in others)}" if others else ""
        lines, why = [f"profile: {best.profile}", *where], f": plausible, compare with its display{also}"
    else:
        about += ": no profile looks plausible; give its groups and tags"
        return [about, *_commented(name, [*where, "groups: [...]"])]
    if not alone:
        about += ": answered with these parameters too, and a line has one set"
        return [about, *_commented(name, lines)]
    return [about + why, f"    - {name}", *(f"      {line}" for line in lines)]


def _commented(name: str, lines: Sequence[str]) -> list[str]:
    return [f"    # - {name}", *(f"    #   {line}" for line in lines)]


def _is_sunspec(found: FoundUnit) -> bool:
    """Whether it says itself which registers it has."""
    return found.sunspec is not None and bool(found.sunspec.models)


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
