"""Installs the runtime beside this file on a gateway, offline. Standard library only.

    <root>/current -> runtimes/<version>-<abi>-<digest>
    <root>/runtimes/<version>-<abi>-<digest>/   env/ (third-party packages)  lib/headgate  complete.json

A runtime appears whole or not at all: it is made under another name, written to the disk and renamed; then
`current` is replaced in one step. So an install may be cut at any moment, also by the power, and run again.
"""

from __future__ import annotations

import argparse
import compileall
import contextlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

PARTIAL = ".partial-"
COMPLETE = "complete.json"
WINDOWS = sys.platform == "win32"

Step = Callable[[str], None]
"""Is told what happens next."""


class InstallError(Exception):
    """This gateway cannot take the runtime; the message says what to do about it."""


@dataclass(frozen=True, slots=True)
class Source:
    """An unpacked runtime.zip."""

    path: Path
    version: str
    digest: str
    """Of everything in it, hex."""
    lock_digest: str
    """Of the locked requirements and the wheels, hex."""
    targets: tuple[str, ...]
    """What it has wheels for, each like `x86_64-cp311`."""


def read_source(path: Path) -> Source:
    """Read runtime.json of an unpacked runtime.zip."""
    try:
        about = json.loads((path / "runtime.json").read_text("utf-8"))
        return Source(path, about["version"], about["digest"], about["lock_digest"], tuple(about["targets"]))
    except (OSError, ValueError, KeyError) as error:
        raise InstallError(f"{path} is no unpacked runtime.zip: {error!r}") from None


def abi() -> str:
    """The interpreter's part of a wheel's name, such as cp311."""
    return f"cp{sys.version_info.major}{sys.version_info.minor}"


def install(source: Source, root: Path, step: Step, cache: Path | None = None) -> Path:
    """Make sure the runtime is installed under `root` and in use; return its directory.

    `cache`: a directory for environments shared by many roots on one machine (the simulator's).
    """
    check_platform(source)
    name = f"{source.version}-{abi()}-{source.digest[:8]}"
    runtimes = root / "runtimes"
    runtimes.mkdir(parents=True, exist_ok=True)
    runtime = runtimes / name
    if is_complete(runtime):
        step(f"{name} is installed already")
    else:
        remove(runtimes, lambda entry: entry.startswith(PARTIAL))
        partial = runtimes / f"{PARTIAL}{name}"
        partial.mkdir()
        try:
            fill(partial, runtime, source, step, cache)
            if cache is None:  # a simulated gateway need not outlive a power cut
                step("writing to the disk")
                flush()
            if runtime.exists():  # damaged: it has no environment or is not complete
                shutil.rmtree(runtime)
            step("moving into place")
            partial.rename(runtime)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    before = read_current(root)
    if before != name:
        step("switching current")
        switch(root, name)
        if cache is None:
            flush()
        step("removing what is no longer needed")
        remove(runtimes, lambda entry: entry not in {name, before})
    return runtime


def check_platform(source: Source) -> None:
    """Raise InstallError unless this machine can take the runtime."""
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        raise InstallError(
            f"{sys.executable} cannot make environments; on Debian: sudo apt-get install -y python3-venv"
        ) from None
    here = f"{platform.machine().lower()}-{abi()}"
    if here not in source.targets:
        machine, _, python = here.partition("-cp")
        raise InstallError(
            f"this build has packages for {', '.join(source.targets)}, and this gateway is {here}; "
            f"build with: ./dev build --platform {machine} --python {python[0]}.{python[1:]}"
        )


def fill(partial: Path, final: Path, source: Source, step: Step, cache: Path | None) -> None:
    """Put everything a runtime has into `partial`, which will be renamed to `final`."""
    step("copying headgate")
    shutil.copytree(source.path / "headgate", partial / "lib" / "headgate")
    compiled = compileall.compile_dir(
        partial / "lib", quiet=1, stripdir=str(partial), prependdir=str(final), workers=1
    )
    if not compiled:
        raise InstallError(
            f"{source.path / 'headgate'} does not compile with Python {platform.python_version()}"
        )
    if cache is None:
        make_env(partial / "env", source, step)
    else:
        (partial / "env").symlink_to(cached_env(cache, source, step), target_is_directory=True)
    step("trying it")
    variables = clean_environment() | {"PYTHONPATH": str(partial / "lib"), "PYTHONDONTWRITEBYTECODE": "1"}
    run([env_python(partial), "-c", "import headgate"], variables)
    (partial / COMPLETE).write_text(json.dumps({"version": source.version, "digest": source.digest}), "utf-8")


def make_env(env: Path, source: Source, step: Step) -> None:
    """Make a virtual environment with the locked packages, from the wheels in `source` alone."""
    step("making the Python environment")
    run([Path(sys.executable), "-m", "venv", str(env)], clean_environment())
    step("installing packages from the wheelhouse")
    pip = [env_python(env.parent, env.name), "-m", "pip", "--isolated", "--disable-pip-version-check", "-q"]
    offline = ["--no-index", "--no-cache-dir", "--find-links", str(source.path / "wheelhouse")]
    lock = str(source.path / "requirements" / "gateway.txt")
    run([*pip, "install", *offline, "--require-hashes", "-r", lock], clean_environment())
    run([*pip, "uninstall", "-y", "setuptools", "pip"], clean_environment())  # 25 MB that no role uses


def cached_env(cache: Path, source: Source, step: Step) -> Path:
    """The environment for this lock and interpreter in `cache`; made there when it is missing."""
    env = cache / f"env-{platform.machine().lower()}-{abi()}-{source.lock_digest[:16]}"
    if env_python(cache, env.name).exists():
        step(f"using the environment {env.name}")
        return env
    cache.mkdir(parents=True, exist_ok=True)
    partial = Path(tempfile.mkdtemp(prefix=f"{PARTIAL}{env.name}-", dir=cache))
    try:
        make_env(partial, source, step)
        partial.chmod(0o755)
        with contextlib.suppress(OSError):  # another one was quicker, which is as good
            partial.rename(env)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    if not env_python(cache, env.name).exists():
        raise InstallError(f"{env} exists and is no environment; remove it")
    return env


def is_complete(runtime: Path) -> bool:
    """Whether a runtime is whole; the interpreter it was made with may have been removed since."""
    return (runtime / COMPLETE).is_file() and env_python(runtime).exists()


def env_python(parent: Path, env: str = "env") -> Path:
    """The interpreter of an environment."""
    return parent / env / ("Scripts/python.exe" if WINDOWS else "bin/python")


def read_current(root: Path) -> str:
    """The name of the runtime in use, or an empty string."""
    current = root / "current"
    try:
        return Path(current.readlink() if current.is_symlink() else current.read_text("utf-8").strip()).name
    except OSError:
        return ""


def switch(root: Path, name: str) -> None:
    """Make `current` name another runtime, in one step."""
    new = root / f"{PARTIAL}current"
    new.unlink(missing_ok=True)
    if WINDOWS:  # links need a right there that services seldom have
        new.write_text(f"runtimes/{name}", "utf-8")
    else:
        new.symlink_to(f"runtimes/{name}", target_is_directory=True)
    new.replace(root / "current")


def flush() -> None:
    """Have the disk hold what was written; renames may otherwise reach it before the files do."""
    if sys.platform != "win32":
        os.sync()


def remove(runtimes: Path, unwanted: Callable[[str], bool]) -> None:
    """Remove each directory whose name is unwanted."""
    for entry in runtimes.iterdir():
        if unwanted(entry.name):
            shutil.rmtree(entry, ignore_errors=True)


def clean_environment() -> dict[str, str]:
    """This process's environment without what would lead Python or pip to other packages."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PIP_"))}


def run(command: Sequence[object], variables: Mapping[str, str]) -> None:
    """Run a command to its end. Raises InstallError with what it said when it fails."""
    done = subprocess.run(
        [str(part) for part in command], env=dict(variables), capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        said = "\n  ".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise InstallError(f"{' '.join(str(part) for part in command)} failed ({done.returncode}):\n  {said}")


def main() -> int:
    """Install the runtime that lies beside this file; the recipe gives the root."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("root", type=Path, help="where runtimes live: <nucleus root>/work/headgate.Runtime")
    root = parser.parse_args().root.resolve()
    cache = os.environ.get("HEADGATE_RUNTIME_CACHE")

    def step(what: str) -> None:
        print(f"headgate.Runtime: {what}", flush=True)

    try:
        runtime = install(
            read_source(Path(__file__).resolve().parent), root, step, Path(cache) if cache else None
        )
    except InstallError as error:
        print(f"headgate.Runtime: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"headgate.Runtime: cannot install below {root}: {error}", file=sys.stderr)
        return 1
    step(f"{runtime.name} is in use")
    return 0


if __name__ == "__main__":
    sys.exit(main())
