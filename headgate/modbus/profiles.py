"""Register maps of real devices, one YAML file each, and how a device of the site document takes one."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from headgate.config.reader import Section
from headgate.config.site import load_document

PACKAGE = Path(__file__).resolve().parents[1]
FOLDERS = (PACKAGE / "profiles", PACKAGE.parent / "profiles")
"""In an installed runtime beside the package's rooms; in a checkout beside the package."""
KEYS = ("profile", "only", "intervals")


@lru_cache(1)
def names() -> tuple[str, ...]:
    """The profiles there are."""
    return tuple(sorted(path.stem for folder in FOLDERS for path in folder.glob("*.yaml")))


@lru_cache(64)
def load(name: str) -> Mapping[str, Any]:
    """A profile that is there, as its file spells it (`schemas/profile.v1.json`)."""
    path = next(path for folder in FOLDERS if (path := folder / f"{name}.yaml").is_file())
    return load_document(path.read_bytes(), str(path))


def expanded(section: Section) -> Section:
    """A device's section with its profile's groups behind its own, and its profile's defaults where it is
    silent; the section itself where it names no profile.
    """
    if not section.has("profile"):
        for key in KEYS[1:]:
            if section.has(key):
                section.fault(key, "goes with profile alone", "name a profile, or leave it out")
        return section
    values = dict(section.items())
    name = section.text("profile")
    if name not in names():
        close = difflib.get_close_matches(name, names(), 1)
        known = "known are " + ", ".join(names())
        section.fault(
            "profile", f"unknown {name!r}", f"did you mean {close[0]!r}? {known}" if close else known
        )
        groups: list[Any] = []
        defaults: Mapping[str, Any] = {}
    else:
        profile = load(name)
        defaults = profile.get("device", {})
        groups = _groups(section, profile)
    own = values.get("groups")
    merged = {**defaults, **{key: value for key, value in values.items() if key not in KEYS}}
    merged["groups"] = [*own, *groups] if isinstance(own, list) else groups if own is None else own
    return Section(merged, section.path, section.problems)


def _groups(section: Section, profile: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The profile's groups as a site document would spell them, with the tags and rates that are wanted."""
    all_tags = [tag["name"] for group in profile["groups"] for tag in group["tags"]]
    only = _only(section, all_tags)
    intervals = section.section("intervals")
    found = []
    for group in profile["groups"]:
        interval_s = intervals.number(group["name"], group["interval_s"], low=0.01, high=86_400)
        tags = [
            {key: value for key, value in tag.items() if key != "description"}
            for tag in group["tags"]
            if only is None or tag["name"] in only
        ]
        if tags:
            found.append({"name": group["name"], "interval_s": interval_s, "tags": tags})
    intervals.close()
    return found


def _only(section: Section, known: list[str]) -> set[str] | None:
    wanted = section.value("only")
    if wanted is None:
        return None
    if not isinstance(wanted, list):
        section.fault("only", "expected a list of the profile's tags")
        return None
    for i, name in enumerate(wanted):
        if name not in known:
            close = difflib.get_close_matches(str(name), known, 1)
            hint = f"did you mean {close[0]!r}?" if close else "its tags are " + ", ".join(known)
            section.problems.add(f"{section.at('only')}[{i}]", f"the profile has no tag {name!r}", hint)
    return set(map(str, wanted))
