"""The example of docs/local.md as a component of a gateway: what it prints is what the plant served."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway_sim.devices import plantfile
from gateway_sim.runs.gateway import Plan, Profile, VirtualGateway
from gateway_sim.runs.processes import Processes, tail
from gateway_sim.runs.rundir import make_run

REPOSITORY = Path(__file__).resolve().parents[2]
EXAMPLE = "headgate.example.PrintLive"
SMALL = ("--devices", "2", "--tags", "5", "--interval", "0.5")
LINE = re.compile(r"(\S+) (\S+) (\S+) (\S+) good (\d+)$")
PATIENCE_S = 45.0


class Gateway(VirtualGateway):
    """With newest values for other components, and one of these."""

    @property
    def components(self) -> Sequence[str]:
        return (*super().components, EXAMPLE)

    def site(self) -> dict[str, Any]:
        return {**super().site(), "local": {"live": {"series": "*/*", "interval_s": 0.5}}}


@pytest.fixture(scope="session")
def whole_build() -> Path:
    subprocess.run([sys.executable, "-m", "devtools", "build"], cwd=REPOSITORY, check=True)
    return REPOSITORY / "greengrass-build"


@pytest.fixture
def build(whole_build: Path, tmp_path: Path) -> Path:
    """With the example, run by a Python that has the SDK already."""
    build: Path = shutil.copytree(whole_build, tmp_path / "build", symlinks=True)
    source = REPOSITORY / "examples" / EXAMPLE
    recipe = (source / "recipe.yaml").read_text("utf-8")
    install = "      install: python3 -m pip install --user awsiotsdk\n"
    assert recipe.count(install) == 1
    assert recipe.count("exec python3 -u") == 1
    recipe = recipe.replace(install, "").replace("exec python3 -u", f"exec {sys.executable} -u")
    (build / "recipes" / f"{EXAMPLE}-1.0.0.yaml").write_text(recipe, "utf-8")
    artifacts = build / "artifacts" / EXAMPLE / "1.0.0"
    artifacts.mkdir(parents=True)
    shutil.copy(source / "main.py", artifacts)
    return build


def served(gateway: VirtualGateway) -> set[tuple[str, str, float]]:
    """(device, tag, value) of all that was ever read of the plant."""
    found = set()
    for device in plantfile.read(gateway.run.plant).devices:
        groups = {group.name: group for group in device.groups}
        for line in (gateway.run.plant / f"{device.name}.served.jsonl").read_text().splitlines():
            row = json.loads(line)
            group = groups.get(row["group"])
            for tag in group.tags if group is not None else ():
                at = tag.address - group.address if group is not None else 0
                if tag.type == "uint16" and tag.decimals is not None:
                    found.add((device.name, tag.name, row["registers"][at] / 10**tag.decimals))
    return found


async def until(what: str, condition: Callable[[], bool], log: Path) -> None:
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await asyncio.sleep(0.2)
    except TimeoutError:
        pytest.fail(f"{what} did not come; {tail(log)}")


async def run_example(build: Path, base: Path, **plan: Any) -> None:
    environment = {"HEADGATE_RUNTIME_CACHE": str(REPOSITORY / ".cache" / "runtime")}
    async with Processes(make_run(base), environment) as processes:
        gateway = Gateway(Plan(plant=SMALL, build=build, **plan), processes, REPOSITORY)
        log = gateway.run.gateway / "logs" / f"{EXAMPLE}.log"

        def printed() -> list[tuple[str, str, float]]:
            lines = log.read_text().splitlines() if log.exists() else []
            rows = [found for line in lines if (found := LINE.search(line))]
            return [(row[1], row[2], float(row[3])) for row in rows]

        await gateway.start()
        await until("live values of two devices", lambda: len({row[0] for row in printed()}) == 2, log)
        await until("news of them", lambda: len(printed()) > 60, log)
        rows, truth = printed(), served(gateway)
        known = {(device, tag) for device, tag, _ in truth}
        compared = [row for row in rows if row[:2] in known]
        assert len(compared) > 20
        assert [row for row in compared if row not in truth] == []


@pytest.mark.timeout(300)
@pytest.mark.parametrize(("profile", "all_in_one"), [("classic", False), ("lite", False), ("lite", True)])
async def test_the_example_prints_what_the_plant_served(
    build: Path, tmp_path: Path, profile: Profile, all_in_one: bool
) -> None:
    await run_example(build, tmp_path / "run", profile=profile, all_in_one=all_in_one)
