"""Where things lie in a checkout."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
"""The checkout."""

CACHE = ROOT / ".cache"
"""What was downloaded or made once; may be removed at any time."""

BUILD = ROOT / "greengrass-build"
"""What `./dev build` makes."""


def project_version(root: Path = ROOT) -> str:
    """The version of everything in this checkout, from pyproject.toml, its only place."""
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    return str(project["version"])
