"""The snippet of a site document for what a scan heard; pure."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence

from headgate.ble.adapters import DEFAULT_ADAPTER
from headgate.ble.decoders.quantity import RSSI
from headgate.ble.survey import Fit, Sighting

KEY = '"00000000000000000000000000000000"'
"""In the place of a bind key that only the owner of the device knows."""
_WORDS = frozenset({"no", "yes", "on", "off", "true", "false", "null", "n", "y"})
"""What YAML 1.1 does not take for text."""


def suggested_site(found: Sequence[Sighting], adapter: str) -> str:
    """A site document for what was recognised, to be checked; commented out is what needs more to be said."""
    blocks: list[str] = []
    names: set[str] = set()
    some = False
    for each in found:
        fits = each.fits()
        if not fits:
            continue
        lines, complete = _device(each, fits, _name(each, names))
        blocks += lines
        some = some or complete
    head = ["schema: 1", "ble:"]
    if adapter != DEFAULT_ADAPTER:
        head.append(f"  adapter: {adapter}")
    return "\n".join([*head, "  devices:" if some else "  devices: []", *blocks]) + "\n"


def _device(each: Sighting, fits: Sequence[Fit], name: str) -> tuple[list[str], bool]:
    """The lines of one device, and whether it is one as it stands."""
    best, *others = fits
    lines = [f"name: {name}", f'address: "{each.address}"', f"profile: {best.profile.name}"]
    why = _missing(each, best)
    if best.sealed:
        lines.append(f"bind_key: {KEY}")
    if best.profile.selects:
        kept = [tag for tag in best.values if tag not in (best.profile.count_tag, RSSI.tag)]
        lines.append(f"measurements: [{', '.join(kept or best.profile.default[-3:])}]")
    about = f"    # {each.name or each.address}, {each.best_dbm} dBm"
    if others:
        about += f"; may be {', '.join(fit.profile.name for fit in others)}"
    if why:
        return [f"{about}: {why}", f"    # - {lines[0]}", *(f"    #   {line}" for line in lines[1:])], False
    return [about, f"    - {lines[0]}", *(f"      {line}" for line in lines[1:])], True


def _missing(each: Sighting, fit: Fit) -> str:
    """Why a device is only suggested in a comment."""
    if each.kind == "private":
        return "its address changes every few minutes, so it cannot be named here"
    if fit.sealed:
        return "encrypted; give its bind_key"
    if fit.guessed and fit.doubt:
        return fit.doubt
    if fit.doubt:
        return f"in doubt: {fit.doubt}"
    return ""


def _name(each: Sighting, taken: set[str]) -> str:
    """A name of its own for a device: what it calls itself, if that can be one."""
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", each.name).strip("-_.")[:48].lower()
    base = (
        plain
        if plain and not plain.replace(".", "").isdigit()
        else "ble-" + each.address[-5:].replace(":", "")
    )
    name, number = base.lower(), 2
    while name in taken:
        name, number = f"{base.lower()}-{number}", number + 1
    taken.add(name)
    bare = name not in _WORDS and re.fullmatch(r"[a-z][a-z0-9_.-]*", name)
    return name if bare else json.dumps(name)
