"""The SAM template: linted offline, and the promises a linter does not know."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

TEMPLATE = Path(__file__).parents[3] / "headgate_cloud" / "template.yaml"


def test_cfn_lint_finds_nothing(tmp_path: Path) -> None:
    lint = Path(sys.executable).with_name("cfn-lint")
    # No proxy and no home: whatever would fetch newer specifications fails here instead of passing by luck.
    quiet = {"PATH": os.defpath, "HOME": str(tmp_path)}
    found = subprocess.run(
        [lint, "--regions", "eu-central-1", "--", TEMPLATE], env=quiet, capture_output=True, text=True
    )
    assert (found.returncode, found.stdout, found.stderr) == (0, "", "")
