"""Bad input to a running gateway: refused with place and hint, nothing half-applied, telemetry goes on."""

from __future__ import annotations

import asyncio
import re
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from gateway_sim.devices import plantfile
from gateway_sim.devices.site import site_document
from gateway_sim.runs.gateway import Plan, VirtualGateway
from gateway_sim.runs.processes import NotStarted, Processes, tail
from gateway_sim.runs.rundir import make_run

REPOSITORY = Path(__file__).resolve().parents[2]
SMALL = ("--devices", "2", "--tags", "5", "--interval", "0.2")
PATIENCE_S = 30.0
HUB_RECIPE = "headgate.Hub-0.1.0.yaml"


@pytest.fixture(scope="session")
def build() -> Path:
    subprocess.run([sys.executable, "-m", "devtools", "build"], cwd=REPOSITORY, check=True)
    return REPOSITORY / "greengrass-build"


@pytest.fixture
def own_build(build: Path, tmp_path: Path) -> Path:
    """A build to spoil."""
    return shutil.copytree(build, tmp_path / "build", symlinks=True)


@asynccontextmanager
async def gateway_of(build: Path, base: Path) -> AsyncIterator[VirtualGateway]:
    environment = {"HEADGATE_RUNTIME_CACHE": str(REPOSITORY / ".cache" / "runtime")}
    async with Processes(make_run(base), environment) as processes:
        yield VirtualGateway(Plan(plant=SMALL, build=build), processes, REPOSITORY)


async def until(what: str, condition: Callable[[], bool], log: Path) -> None:
    """Wait for something that another process does."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not condition():
                await asyncio.sleep(0.1)
    except TimeoutError:
        pytest.fail(f"{what} did not come; {tail(log)}")


def hub_log(gateway: VirtualGateway) -> Path:
    return gateway.run.gateway / "logs" / "headgate.Hub.log"


def served(gateway: VirtualGateway) -> int:
    return sum(path.read_bytes().count(b"\n") for path in gateway.run.plant.glob("*.served.jsonl"))


@pytest.mark.parametrize(
    ("operation", "topic"),
    [
        ("PublishToIoTCore", r"\$aws/rules/hg_ingest_v1/hg/v1/gw-demo/up/live/json"),
        ("SubscribeToTopic", r"hg/v1/local/batch/[+#]"),
    ],
)
async def test_a_recipe_without_an_operation(
    own_build: Path, tmp_path: Path, operation: str, topic: str
) -> None:
    recipe = own_build / "recipes" / HUB_RECIPE
    text, count = re.subn(rf"\[.aws\.greengrass#{operation}.\]", "[]", recipe.read_text())
    assert count == 1
    recipe.write_text(text)
    async with gateway_of(own_build, tmp_path) as gateway:
        await gateway.start()
        log = hub_log(gateway)
        wanted = re.compile(rf"{operation}.*{topic}.*UnauthorizedError")
        await until("the refusal", lambda: log.exists() and bool(wanted.search(log.read_text())), log)


def spoiled(site: Mapping[str, Any]) -> dict[str, Any]:
    """The same site with three faults and one change that alone would be fine."""
    devices = [dict(device) for device in site["modbus"]["devices"]]
    group = dict(devices[0]["groups"][0], interval_s="soon")
    group["tags"] = [dict(group["tags"][0], type="uint61"), *group["tags"][1:]]
    devices[0]["groups"] = [group]
    devices[1]["unitt"] = 1
    return {**site, "modbus": {"devices": devices}, "windows": {"length_s": 20}}


async def test_a_site_document_with_faults_changes_nothing(build: Path, tmp_path: Path) -> None:
    async with gateway_of(build, tmp_path) as gateway:
        await gateway.start()
        log, current = hub_log(gateway), gateway.run.state / "config" / "current"
        await until("the first site document", current.exists, log)
        accepted = current.read_text()
        assert await gateway.stop_nucleus() == 0
        gateway.write_deployment(spoiled(site_document(plantfile.read(gateway.run.plant), window_s=10)))
        await gateway.start_nucleus(deploy=True)
        await until("the refusal", lambda: "nothing was applied" in log.read_text(), log)
        told = log.read_text()
        before = served(gateway)
        await until("telemetry", lambda: served(gateway) > before + 10, log)
        assert current.read_text() == accepted
        assert len(list((gateway.run.state / "config").iterdir())) == 2  # the accepted one and its name
    assert re.search(r"site\.yaml: 3 problems, nothing was applied", told)
    assert re.search(
        r"modbus\.devices\[0\]\.groups\[0\]\.interval_s: expected a number, found text \('soon'\)", told
    )
    assert re.search(
        r"modbus\.devices\[0\]\.groups\[0\]\.tags\[0\]\.type: unknown 'uint61' \(did you mean", told
    )
    assert re.search(r"modbus\.devices\[1\]\.unitt: unknown key \(did you mean 'unit'\?\)", told)


async def test_a_recipe_with_an_unknown_key_is_not_deployed(own_build: Path, tmp_path: Path) -> None:
    recipe = own_build / "recipes" / HUB_RECIPE
    recipe.write_text(recipe.read_text().replace("ComponentPublisher:", "ComponentPublishr:"))
    async with gateway_of(own_build, tmp_path) as gateway:
        with pytest.raises(NotStarted) as refused:
            await gateway.start()
        told = str(refused.value)
        assert f"recipes/{HUB_RECIPE}" in told
        assert "ComponentPublishr" in told
        assert "did you mean ComponentPublisher" in told.replace("'", "").replace('"', "")
        assert not (gateway.run.gateway / "status.json").exists()
        assert list((gateway.run.gateway / "logs").glob("headgate.*")) == []
