"""Our BLE decoders beside those of others, in a place where these are installed."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
LOCK = ROOT / "requirements/crosscheck.txt"
SUITES = ("test_ble_crosscheck.py", "test_ble_brand_packages.py")


def packages() -> Path:
    """Where the locked packages are; installed on the first run, which needs the package index."""
    digest = hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]
    place = ROOT / ".cache" / f"crosscheck-{digest}"
    if not place.exists():
        new = place.with_suffix(".new")
        command = [sys.executable, "-m", "pip", "install", "-q", "--require-hashes", "--no-deps", "--upgrade"]
        subprocess.run([*command, "--target", str(new), "-r", str(LOCK)], check=True)
        new.rename(place)
    return place


@pytest.mark.slow("ble")
def test_the_decoders_agree_with_those_of_others(seed: int) -> None:
    suites = [str(ROOT / "tests/unit/headgate/ble" / name) for name in SUITES]
    environment = {**os.environ, "PYTHONPATH": str(packages()), "HEADGATE_SEED": str(seed)}
    command = [sys.executable, "-m", "pytest", "-p", "no:xdist", *suites]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout
