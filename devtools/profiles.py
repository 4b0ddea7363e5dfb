"""`python -m devtools.profiles`: writes profiles/README.md from the profiles themselves."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

import yaml

from devtools.paths import ROOT

PAGE = ROOT / "profiles" / "README.md"


def main(argv: Sequence[str] = ()) -> int:
    """Write the page."""
    PAGE.write_text(page(), "utf-8")
    return 0


def page() -> str:
    """The page as it is to be."""
    found = [yaml.safe_load(path.read_text("utf-8")) for path in sorted(PAGE.parent.glob("*.yaml"))]
    rows = "\n".join(map(_row, found))
    words: dict[str, set[str]] = {}
    for profile in found:
        for group in profile["groups"]:
            for tag in group["tags"]:
                words.setdefault(tag["name"], set()).add(tag["unit"])
    tags = "\n".join(f"| `{name}` | {', '.join(sorted(units))} |" for name, units in sorted(words.items()))
    return f"""# Profiles

Register maps of real devices, one file each (`schemas/profile.v1.json`). A device of the site document takes
one with `profile: NAME` ([how](../components/headgate.ModbusBridge/README.md#profiles)). This page is written
by `python -m devtools.profiles`.

A source of kind *manufacturer* is the maker's own document, wherever a copy of it was read; *dealer* a page
of one who sells the device; *repository* a public project and *page* somebody's notes, which is less: try a
profile of these alone at your device before you rely on it.

*Published values* are those that a source prints beside the bytes of a response. The tests decode these bytes
with the profile. Where no source prints any, the profile says so.

| Profile | Device | Tags | Source | Published values |
|---|---|---|---|---|
{rows}

## Names
The same quantity has the same name and unit in every profile.

| Tag | Unit |
|---|---|
{tags}
"""


def _row(profile: dict[str, Any]) -> str:
    tags = sum(len(group["tags"]) for group in profile["groups"])
    sources = "; ".join(
        f"[{s['title']}]({s['url']}) ({s['revision']}; {s['kind']})" for s in profile["sources"]
    )
    checks = profile["checks"]
    values = "none" if checks == "none" else str(sum(len(check["values"]) for check in checks))
    device = f"{profile['manufacturer']} {profile['model']}"
    return f"| `{profile['name']}` | {device}: {profile['description']} | {tags} | {sources} | {values} |"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
