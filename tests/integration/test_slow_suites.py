"""How the slow suites are chosen, in a pytest of its own with this project's conftest."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

TESTS = """
import os
import pytest

def test_quick(): pass

@pytest.mark.slow("soak")
def test_soak(seed): print("drawn from", seed, os.environ.get("HEADGATE_SEED"))

@pytest.mark.slow("fuzz")
def test_fuzz(): pass
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    shutil.copy(ROOT / "tests/conftest.py", tmp_path)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    (tmp_path / "test_suites.py").write_text(TESTS, "utf-8")
    return tmp_path


def run(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pytest", "-v", "-s", *arguments, "."]
    return subprocess.run(command, cwd=project, capture_output=True, text=True, check=False)


def test_slow_suites_are_left_out_by_default_and_not_skipped(project: Path) -> None:
    said = run(project).stdout
    assert "1 passed, 2 deselected in " in said
    assert "skipped" not in said


def test_all_slow_suites_run_on_demand(project: Path) -> None:
    assert "2 passed, 1 deselected in " in run(project, "--slow", "all").stdout


def test_one_slow_suite_runs_with_its_seed(project: Path) -> None:
    said = run(project, "--slow", "soak", "--seed", "42").stdout
    assert "1 passed, 2 deselected in " in said
    assert "drawn from 42 42" in said


def test_an_unknown_suite_names_those_there_are(project: Path) -> None:
    done = run(project, "--slow", "saok")
    assert done.returncode != 0
    assert "no slow suite 'saok'; there are: fuzz, soak" in done.stdout + done.stderr
