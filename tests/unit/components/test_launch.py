"""The launcher: one resolved runtime, a clean environment, clear words when there is none."""

from __future__ import annotations

import importlib.util
import os
import re
from pathlib import Path

import pytest

from tests.support.components import ROOT, load_component_file

launch = load_component_file("launch.py")


def runtime_in(root: Path, name: str = "0.1.0-cp311-aaaaaaaa") -> Path:
    runtime = root / "runtimes" / name
    (runtime / "env/bin").mkdir(parents=True)
    (runtime / "env/bin/python").touch()
    (runtime / "lib/headgate").mkdir(parents=True)
    return runtime


def test_current_is_resolved_to_the_runtime_it_names(tmp_path: Path) -> None:
    runtime = runtime_in(tmp_path)
    (tmp_path / "current").symlink_to("runtimes/0.1.0-cp311-aaaaaaaa")
    assert launch.current_runtime(tmp_path) == runtime


def test_current_may_be_a_file_where_links_need_a_right(tmp_path: Path) -> None:
    runtime = runtime_in(tmp_path)
    (tmp_path / "current").write_text("runtimes/0.1.0-cp311-aaaaaaaa\n", "utf-8")
    assert launch.current_runtime(tmp_path) == runtime


def test_a_missing_runtime_names_the_component_to_deploy(tmp_path: Path) -> None:
    with pytest.raises(launch.NoRuntimeError, match=r"no runtime at .*current.*deploy headgate\.Runtime"):
        launch.current_runtime(tmp_path)


def test_a_damaged_runtime_names_what_is_missing(tmp_path: Path) -> None:
    runtime = runtime_in(tmp_path)
    (runtime / "env/bin/python").unlink()
    (tmp_path / "current").symlink_to("runtimes/0.1.0-cp311-aaaaaaaa")
    with pytest.raises(launch.NoRuntimeError, match=r"damaged: .*env/bin/python is missing"):
        launch.current_runtime(tmp_path)


def test_the_role_imports_from_its_runtime_alone(tmp_path: Path) -> None:
    inherited = {"SVCUID": "token", "PYTHONPATH": "/elsewhere", "PYTHONHOME": "/usr", "VIRTUAL_ENV": "/v"}
    assert launch.environment(tmp_path, inherited) == {
        "SVCUID": "token",
        "PYTHONPATH": str(tmp_path / "lib"),
        "PYTHONSAFEPATH": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUNBUFFERED": "1",
    }


def test_the_launcher_becomes_the_role(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = runtime_in(tmp_path)
    (tmp_path / "current").symlink_to("runtimes/0.1.0-cp311-aaaaaaaa")
    became: list[tuple[str, list[str], str]] = []

    def execve(path: str, arguments: list[str], variables: dict[str, str]) -> None:
        became.append((path, arguments, variables["PYTHONPATH"]))

    monkeypatch.setattr(os, "execve", execve)
    monkeypatch.setattr("sys.argv", ["main.py", f"{tmp_path}/"])
    launch.launch("headgate.Hub", "headgate.roles.hub", ["x"])
    python = str(runtime / "env/bin/python")
    assert became == [(python, [python, "-m", "headgate.roles.hub", "x"], str(runtime / "lib"))]


@pytest.mark.parametrize("arguments", [[], ["a", "b"]])
def test_a_wrong_call_is_refused(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["main.py", *arguments])
    with pytest.raises(SystemExit) as stopped:
        launch.launch("headgate.Hub", "headgate.roles.hub")
    assert stopped.value.code == launch.EX_CONFIG
    assert "headgate.Hub: expected one argument" in capsys.readouterr().err


@pytest.mark.parametrize(
    "main", sorted((ROOT / "components").glob("*/main.py")), ids=lambda main: main.parent.name
)
def test_what_a_component_launches_is_there_and_is_its_own(main: Path) -> None:
    (called,) = re.findall(r'(?m)^launch\("([^"]+)", "([^"]+)"', main.read_text("utf-8"))
    assert called[0] == main.parent.name
    assert importlib.util.find_spec(called[1]) is not None
