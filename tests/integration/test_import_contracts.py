"""Each import contract of pyproject.toml is broken by an import the wrong way, and kept without it."""

from __future__ import annotations

import itertools
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CONTRACTS = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
LAYERS = [
    [module.strip("() ") for module in layer.replace(":", "|").split("|")] for layer in CONTRACTS[0]["layers"]
]
SERVICES, DRIVERS = LAYERS[1], LAYERS[2]

WRONG_LAYERS = [
    (f"headgate.{lower[0]}", f"headgate.{upper[-1]}") for upper, lower in itertools.pairwise(LAYERS)
]
WRONG_SIBLINGS = [
    (f"headgate.{one}", f"headgate.{other}")
    for siblings in (SERVICES, DRIVERS)
    for one, other in zip(siblings, [*siblings[1:], siblings[0]], strict=True)
]
WRONG = [
    *(("layers of headgate", *pair) for pair in [*WRONG_LAYERS, *WRONG_SIBLINGS]),
    ("only roles choose a bus", "headgate.uplink", "headgate.bus.memory"),
    ("only roles choose a bus", "headgate.console", "headgate.bus.greengrass"),
    ("only the Greengrass bus speaks IPC", "headgate.bus.memory", "headgate.ipc.client"),
    ("only the Greengrass bus speaks IPC", "headgate.roles", "headgate.ipc"),
    ("the IPC client needs the standard library alone", "headgate.ipc", "headgate.model"),
    ("the IPC client needs the standard library alone", "headgate.ipc", "yaml"),
    ("drivers and services know no bus", "headgate.modbus.planted", "headgate.bus.api"),
    ("drivers and services know no bus", "headgate.store.planted", "headgate.bus.api"),
    ("commissioning cannot write", "headgate.modbus.commissioning.dump", "headgate.modbus.puts"),
    ("commissioning cannot write", "headgate.modbus.commissioning.asker", "pymodbus.client"),
    ("commissioning cannot write", "headgate.ble.commissioning.explore", "headgate.ble.on_demand"),
    ("bridges do without commissioning", "headgate.modbus.link", "headgate.modbus.commissioning.asker"),
    ("bridges do without commissioning", "headgate.ble.scan_request", "headgate.ble.commissioning.suggest"),
    ("bridges and courier never load numpy", "headgate.modbus", "numpy"),
    ("bridges and courier never load numpy", "headgate.roles.bridge", "numpy"),
    ("bridges and courier never load numpy", "headgate.files", "numpy"),
    ("bridges and courier never load numpy", "headgate.roles.courier", "numpy"),
    ("no AWS SDK in the gateway", "headgate.roles", "awsiot.greengrasscoreipc"),
    ("no AWS SDK in the gateway", "headgate.bus", "awscrt"),
    ("the three packages share nothing", "gateway_sim", "headgate.model"),
    ("the three packages share nothing", "gateway_sim", "headgate_cloud"),
    ("the three packages share nothing", "headgate_cloud", "headgate.model"),
    ("the three packages share nothing", "headgate", "gateway_sim"),
]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The three packages and their contracts, with a stub of each module that is not written yet."""
    for package in ("headgate", "headgate_cloud", "gateway_sim"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for layer in LAYERS:
        for module in layer:
            source_of(tmp_path, f"headgate.{module}")
    source_of(tmp_path, "headgate.roles.bridge")
    return tmp_path


def source_of(root: Path, module: str) -> Path:
    """The file that holds a module; made when there is none."""
    path = root.joinpath(*module.split("."))
    if path.with_suffix(".py").is_file():
        return path.with_suffix(".py")
    path.mkdir(parents=True, exist_ok=True)
    (path / "__init__.py").touch()
    return path / "__init__.py"


def lint(root: Path) -> tuple[int, str]:
    command = [str(Path(sys.executable).with_name("lint-imports")), "--no-cache", "--no-logo"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def test_the_packages_keep_every_contract(copy: Path) -> None:
    code, said = lint(copy)
    assert code == 0, said


@pytest.mark.parametrize(("contract", "importer", "imported"), WRONG)
def test_an_import_the_wrong_way_breaks_its_contract(
    copy: Path, contract: str, importer: str, imported: str
) -> None:
    if imported.startswith("headgate."):
        source_of(copy, imported)
    with source_of(copy, importer).open("a", encoding="utf-8") as source:
        source.write(f"\nimport {imported}\n")
    code, said = lint(copy)
    assert code == 1, said
    assert f"{contract} BROKEN" in said


def test_a_module_in_no_layer_is_reported(copy: Path) -> None:
    source_of(copy, "headgate.wanderer")
    code, said = lint(copy)
    assert code == 1
    assert "layers of headgate BROKEN" in said
    assert "wanderer" in said


def test_every_contract_has_a_case() -> None:
    assert {contract["name"] for contract in CONTRACTS} == {case[0] for case in WRONG}
