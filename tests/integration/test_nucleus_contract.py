"""Runs the nucleus contract suite against the simulated nucleus, in a process that cannot import it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from tests.support.processes import REPOSITORY, Broker, NucleusProcess, Proxy, running

SUITE = REPOSITORY / "tests" / "contract" / "nucleus"
COMPONENT = "headgate.ContractSuite"
BLOCK = """
import sys
class Block:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == "gateway_sim":
            raise ImportError("the contract suite must not import gateway_sim")
sys.meta_path.insert(0, Block())
import pytest
sys.exit(pytest.main(sys.argv[1:]))
"""


@pytest.mark.timeout(300)
@pytest.mark.parametrize("profile", ["classic", "lite"])
def test_the_simulated_nucleus_keeps_the_contract(
    profile: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    directory = tmp_path_factory.mktemp("n")
    authority = Authority(directory)
    build = directory / "build"
    (build / "recipes").mkdir(parents=True)
    shutil.copy(SUITE / "recipe.yaml", build / "recipes" / f"{COMPONENT}-1.0.0.yaml")
    broker = Broker(directory / "broker", authority)
    proxy = Proxy(broker.port)
    identity, watcher = authority.issue("gw-1"), authority.issue("observer")
    options = ("--build", str(build), "--external", COMPONENT)
    nucleus = NucleusProcess(directory / "g", proxy, broker.ca, identity, profile, *options)
    with running(broker, proxy, nucleus):
        nucleus.until_connected()
        report = run_suite(nucleus, broker, proxy, profile, watcher.cert, watcher.key, directory)
    assert report["passed"] > 0
    assert report.get("failed", 0) == report.get("errors", report.get("error", 0)) == 0


def run_suite(
    nucleus: NucleusProcess,
    broker: Broker,
    proxy: Proxy,
    profile: str,
    cert: Path,
    key: Path,
    directory: Path,
) -> dict[str, int]:
    """Run it; any failure, and any skip that is not about the profile, fails with its output."""
    given = nucleus.external(COMPONENT)
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")} | {
        "HEADGATE_NUCLEUS_SOCKET": given["socket"],
        "HEADGATE_NUCLEUS_TOKEN": given["svcuid"],
        "HEADGATE_NUCLEUS_COMPONENT": COMPONENT,
        "HEADGATE_NUCLEUS_THING": given["thing"],
        "HEADGATE_NUCLEUS_PROFILE": profile,
        "HEADGATE_NUCLEUS_BROKER": f"127.0.0.1:{broker.port}",
        "HEADGATE_NUCLEUS_CA": str(broker.ca),
        "HEADGATE_NUCLEUS_CERT": str(cert),
        "HEADGATE_NUCLEUS_KEY": str(key),
        "HEADGATE_NUCLEUS_CUT": f"kill -USR1 {proxy.pid}",
        "HEADGATE_NUCLEUS_SILENCE": f"kill -HUP {proxy.pid}",
        "HEADGATE_NUCLEUS_HEAL": f"kill -USR2 {proxy.pid}",
    }
    options = ("-rs", "-p", "no:xdist", "--basetemp", str(directory / "suite"))
    done = subprocess.run(
        [sys.executable, "-c", BLOCK, str(SUITE), *options],
        cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    said = done.stdout + done.stderr
    assert done.returncode == 0, f"{said}\n--- the nucleus said:\n{nucleus.log()[-6000:]}"
    unexpected = [
        line for line in said.splitlines() if line.startswith("SKIPPED") and "PROFILE: " not in line
    ]
    assert not unexpected, json.dumps(unexpected, indent=1)
    return {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|errors?|skipped)", said)}


def test_without_its_variables_the_suite_skips_and_says_why() -> None:
    env = {
        k: v
        for k, v in os.environ.items()
        if not k.startswith(("HEADGATE_NUCLEUS_", "AWS_", "SVCUID", "PYTEST"))
    }
    done = subprocess.run(
        [sys.executable, "-m", "pytest", str(SUITE / "test_contract_wire.py"), "-rs", "-p", "no:xdist"],
        cwd=REPOSITORY, env=env, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "set HEADGATE_NUCLEUS_PROFILE (see docs/contract-suite.md)" in done.stdout
    assert " passed" not in done.stdout
