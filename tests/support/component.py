"""Makes components for tests: recipes and artifacts in a build folder."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any


class Build:
    """A `greengrass-build` folder."""

    def __init__(self, directory: Path) -> None:
        self.path = directory
        (directory / "recipes").mkdir(parents=True)
        (directory / "artifacts").mkdir()

    def component(
        self,
        name: str,
        lifecycle: Mapping[str, Any],
        *,
        version: str = "1.0.0",
        files: Mapping[str, str] | None = None,
        **more: Any,
    ) -> Path:
        """Write a recipe (as JSON, which is YAML) and, with files, a zip `code.zip`; returns the recipe."""
        manifest: dict[str, Any] = {"Platform": {"os": "linux", "runtime": "*"}, "Lifecycle": dict(lifecycle)}
        if files is not None:
            folder = self.path / "artifacts" / name / version
            folder.mkdir(parents=True, exist_ok=True)
            with zipfile.ZipFile(folder / "code.zip", "w") as archive:
                for path, text in files.items():
                    archive.writestr(path, text)
            uri = f"s3://BUCKET_NAME/{name}/{version}/code.zip"
            manifest["Artifacts"] = [{"URI": uri, "Unarchive": "ZIP"}]
        recipe = {
            "RecipeFormatVersion": "2020-01-25",
            "ComponentName": name,
            "ComponentVersion": version,
            "ComponentDescription": "for tests",
            "Manifests": [manifest],
            **more,
        }
        file = self.path / "recipes" / f"{name}-{version}.yaml"
        file.write_text(json.dumps(recipe, indent=1))
        return file

    def deployment(self, components: Mapping[str, Mapping[str, Any]], name: str = "test") -> Path:
        """Write a deployment file."""
        file = self.path / f"{name}.json"
        file.write_text(json.dumps({"deploymentName": name, "components": components}))
        return file


def allow(service: str, operations: list[str], resources: list[str]) -> dict[str, Any]:
    """accessControl with one policy."""
    names = [f"aws.greengrass#{operation}" for operation in operations]
    return {f"aws.greengrass.{service}": {"test:1": {"operations": names, "resources": resources}}}
