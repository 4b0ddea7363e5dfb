"""Recipe variables in lifecycle scripts, as each nucleus writes them; pure."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway_sim.nucleus.config_tree import pointer_path
from gateway_sim.nucleus.jsonvalue import Json

_VARIABLE = re.compile(r"\{(?:([A-Za-z0-9_.-]+):)?(artifacts|work|configuration|kernel|iot):([^{}\s]*)\}")


class MissingVariableError(LookupError):
    """Lite cannot start a script that names a configuration key which is not there."""


@dataclass(frozen=True, slots=True)
class Places:
    """Where things of the nucleus are, under its root."""

    root: Path
    thing: str
    slash: bool  # lite ends directories with a slash

    def artifacts(self, name: str, version: str) -> Path:
        """Artifacts as delivered."""
        return self.root / "packages" / "artifacts" / name / version

    def decompressed(self, name: str, version: str) -> Path:
        """Artifacts unpacked."""
        return self.root / "packages" / "artifacts-unarchived" / name / version

    def work(self, name: str) -> Path:
        """The component's working directory."""
        return self.root / "work" / name

    def recipe(self, name: str, version: str, suffix: str) -> Path:
        """The recipe as deployed."""
        return self.root / "packages" / "recipes" / f"{name}-{version}{suffix}"

    def as_text(self, directory: Path) -> str:
        """The directory as it stands in a script."""
        return f"{directory}/" if self.slash else str(directory)


def interpolate(
    script: str,
    places: Places,
    component: str,
    installed: Mapping[str, str],
    configuration: Callable[[str, tuple[str, ...]], Json],
    *,
    lite: bool,
) -> str:
    """Replace the variables of a script.

    `installed` maps components to versions; `configuration` gives a value or raises LookupError. What is
    unknown stays as it is, but a missing configuration key is an error in lite.
    """

    def replace(found: re.Match[str]) -> str:
        owner, space, key = found[1] or component, found[2], found[3]
        if (lite and found[1]) or owner not in installed:
            return found[0]
        directories = {
            ("artifacts", "path"): places.artifacts(owner, installed[owner]),
            ("artifacts", "decompressedPath"): places.decompressed(owner, installed[owner]),
            ("work", "path"): places.work(owner),
        }
        if (space, key) in directories:
            return places.as_text(directories[space, key])
        if (space, key) == ("kernel", "rootPath"):
            return str(places.root)
        if (space, key) == ("iot", "thingName"):
            return places.thing
        if space != "configuration":
            return found[0]
        try:
            return _text(configuration(owner, pointer_path(key)))
        except (LookupError, ValueError) as error:
            if lite:
                raise MissingVariableError(f"{found[0]}: no such configuration key") from error
            return found[0]

    return _VARIABLE.sub(replace, script)


def _text(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
