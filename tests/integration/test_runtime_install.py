"""Installing the runtime: offline and for real, cut at every step, twice, and its last two kept."""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from devtools.build.stage import write_runtime
from devtools.build.wheels import this_machine
from devtools.paths import CACHE, ROOT
from tests.support.components import load_component_file

installer = load_component_file("headgate.Runtime/install.py")


class Cut(Exception):
    """The power goes."""


def source(tmp_path: Path, version: str = "0.1.0") -> Any:
    """An unpacked runtime.zip without third-party packages."""
    path = tmp_path / f"unpacked-{version}"
    (path / "headgate").mkdir(parents=True)
    (path / "headgate/__init__.py").write_text(f'VERSION = "{version}"\n', "utf-8")
    about = {"version": version, "digest": version.replace(".", "f") * 8, "lock_digest": "b" * 64}
    targets = [f"{platform.machine()}-{installer.abi()}"]
    (path / "runtime.json").write_text(json.dumps({**about, "targets": targets}), "utf-8")
    return installer.read_source(path)


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    """A cache that holds the environment already: this test's own interpreter."""
    env = tmp_path / "cache" / f"env-{platform.machine()}-{installer.abi()}-{'b' * 16}" / "bin"
    env.mkdir(parents=True)
    (env / "python").symlink_to(sys.executable)
    return tmp_path / "cache"


def ignore(what: str) -> None:
    """Takes a step's words."""


def cut_at(number: int) -> Callable[[str], None]:
    """A step function that raises before step `number`, counted from 1."""
    taken: list[str] = []

    def step(what: str) -> None:
        taken.append(what)
        if len(taken) == number:
            raise Cut(what)

    return step


def version_in_use(root: Path) -> str:
    """What the runtime in use says of itself."""
    runtime = (root / "current").resolve()
    command = [str(runtime / "env/bin/python"), "-c", "import headgate; print(headgate.VERSION)"]
    variables = {**os.environ, "PYTHONPATH": str(runtime / "lib"), "PYTHONSAFEPATH": "1"}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def names(root: Path) -> set[str]:
    return {entry.name.partition("-")[0] or entry.name for entry in (root / "runtimes").iterdir()}


def test_an_install_cut_at_any_step_leaves_the_old_runtime_or_the_new(tmp_path: Path, cache: Path) -> None:
    root = tmp_path / "root"
    old, new = source(tmp_path, "0.1.0"), source(tmp_path, "0.2.0")
    installer.install(old, root, ignore, cache)
    cuts = 0
    while True:
        cuts += 1
        try:
            installer.install(new, root, cut_at(cuts), cache)
            break
        except Cut:
            assert version_in_use(root) in {"0.1.0", "0.2.0"}
            shutil.rmtree(root)
            installer.install(old, root, ignore, cache)
            with pytest.raises(Cut):
                installer.install(new, root, cut_at(cuts), cache)
            installer.install(new, root, ignore, cache)
            assert version_in_use(root) == "0.2.0"
            assert names(root) == {"0.1.0", "0.2.0"}
            shutil.rmtree(root)
            installer.install(old, root, ignore, cache)
    assert cuts > 5
    assert version_in_use(root) == "0.2.0"


def test_what_a_cut_left_behind_is_removed(tmp_path: Path, cache: Path) -> None:
    root = tmp_path / "root"
    for name in (".partial-0.1.0-cp311-00000000", ".partial-x"):
        (root / "runtimes" / name / "lib").mkdir(parents=True)
    (root / ".partial-current").symlink_to("runtimes/nothing")
    installer.install(source(tmp_path), root, ignore, cache)
    assert names(root) == {"0.1.0"}
    assert sorted(entry.name for entry in root.iterdir()) == ["current", "runtimes"]


def test_a_runtime_without_its_interpreter_is_made_again(tmp_path: Path, cache: Path) -> None:
    root = tmp_path / "root"
    runtime = installer.install(source(tmp_path), root, ignore, cache)
    (runtime / "env").unlink()
    (runtime / "env").symlink_to(tmp_path / "gone")
    assert installer.install(source_again(tmp_path), root, ignore, cache) == runtime
    assert version_in_use(root) == "0.1.0"


def source_again(tmp_path: Path) -> Any:
    return installer.read_source(tmp_path / "unpacked-0.1.0")


def test_a_second_install_changes_nothing(tmp_path: Path, cache: Path) -> None:
    root = tmp_path / "root"
    runtime = installer.install(source(tmp_path), root, ignore, cache)
    before = {path: path.lstat().st_mtime_ns for path in root.rglob("*")}
    said: list[str] = []
    assert installer.install(source_again(tmp_path), root, said.append, cache) == runtime
    assert said == [f"{runtime.name} is installed already"]
    assert {path: path.lstat().st_mtime_ns for path in root.rglob("*")} == before


def test_the_last_two_runtimes_are_kept(tmp_path: Path, cache: Path) -> None:
    root = tmp_path / "root"
    for version in ("0.1.0", "0.2.0", "0.3.0"):
        installer.install(source(tmp_path, version), root, ignore, cache)
    assert names(root) == {"0.2.0", "0.3.0"}
    installer.install(installer.read_source(tmp_path / "unpacked-0.2.0"), root, ignore, cache)
    assert version_in_use(root) == "0.2.0"
    assert names(root) == {"0.2.0", "0.3.0"}


def test_a_traceback_names_the_file_where_it_will_lie(tmp_path: Path, cache: Path) -> None:
    runtime = installer.install(source(tmp_path), tmp_path / "root", ignore, cache)
    (compiled,) = runtime.rglob("*.pyc")
    assert str(runtime / "lib/headgate/__init__.py").encode() in compiled.read_bytes()


def test_a_gateway_that_the_build_has_no_packages_for_is_told_how_to_build(tmp_path: Path) -> None:
    unfit = source(tmp_path)
    about = json.loads((unfit.path / "runtime.json").read_text("utf-8"))
    (unfit.path / "runtime.json").write_text(json.dumps({**about, "targets": ["riscv64-cp311"]}), "utf-8")
    with pytest.raises(
        installer.InstallError, match=r"packages for riscv64-cp311, .* \./dev build --platform"
    ):
        installer.install(installer.read_source(unfit.path), tmp_path / "root", ignore)
    assert not (tmp_path / "root").exists()


def test_a_python_that_makes_no_environments_names_the_debian_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ensurepip", None)
    with pytest.raises(installer.InstallError, match="apt-get install -y python3-venv"):
        installer.install(source(tmp_path), tmp_path / "root", ignore)


@pytest.mark.timeout(300)
def test_the_built_runtime_installs_offline_and_starts_a_role(tmp_path: Path) -> None:
    write_runtime(tmp_path / "runtime.zip", ROOT, "0.1.0", [this_machine()], CACHE)
    with zipfile.ZipFile(tmp_path / "runtime.zip") as archive:
        archive.extractall(tmp_path / "decompressed/runtime")
    root = tmp_path / "work/headgate.Runtime"
    nowhere = {"PIP_INDEX_URL": "http://127.0.0.1:9/simple", "https_proxy": "http://127.0.0.1:9"}
    run(["decompressed//runtime/install.py", f"{root}/"], tmp_path, nowhere)
    (root / "current/lib/headgate/roles").mkdir(exist_ok=True)
    (root / "current/lib/headgate/roles/hub.py").write_text(
        "import os, sys, numpy, pymodbus, serial, yaml\n"
        "print(os.getpid(), sys.prefix, sys.argv[1:], numpy.__file__)\n",
        "utf-8",
    )
    artifacts = tmp_path / "artifacts"
    artifacts.mkdir()
    for name in ("launch.py", "headgate.Hub/main.py"):
        shutil.copy(ROOT / "components" / name, artifacts)
    shell = subprocess.Popen(
        ["sh", "-c", f'exec python3 -B -u "{artifacts}/main.py" "{root}"'],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PATH": path_with_this_python()},
    )
    said = shell.communicate()[0].split()
    runtime = (root / "current").resolve()
    assert said[:3] == [str(shell.pid), str(runtime / "env"), "[]"]
    assert said[3].startswith(str(runtime / "env"))
    assert not (runtime / "env/lib" / f"python3.{sys.version_info.minor}" / "site-packages/pip").exists()
    assert not (artifacts / "__pycache__").exists()


def run(arguments: list[str], cwd: Path, variables: dict[str, str]) -> None:
    command = [sys.executable, "-B", "-u", *arguments]
    done = subprocess.run(command, cwd=cwd, env={**os.environ, **variables}, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def path_with_this_python() -> str:
    return f"{Path(sys.base_prefix) / 'bin'}{os.pathsep}{os.environ['PATH']}"
