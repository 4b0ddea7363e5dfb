"""The wheels of the locked requirements for the gateways a build is made for, downloaded once."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

MACHINES = ("x86_64", "aarch64")
PYTHONS = ("3.11", "3.12", "3.13")

GLIBC_MINOR = 36
"""Wheels may need glibc 2.36 or older: Debian 12, the oldest system a gateway may run."""


class BuildError(Exception):
    """The build cannot go on; the message says why and what would help."""


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """A machine and a Python that a runtime is built for."""

    machine: str
    python: str
    """Such as 3.11."""

    @property
    def abi(self) -> str:
        """Such as cp311."""
        return "cp" + self.python.replace(".", "")

    def __str__(self) -> str:
        return f"{self.machine}-{self.abi}"


def this_machine() -> Target:
    """The machine that builds, as a target."""
    return Target(platform.machine().lower(), f"{sys.version_info.major}.{sys.version_info.minor}")


def wheelhouse(targets: Sequence[Target], lock: Path, cache: Path) -> list[Path]:
    """The wheels of every package in `lock` for every target, from `cache` or the package index.

    Raises BuildError when one cannot be had.
    """
    wheels = {path.name: path for target in targets for path in _fetch(target, lock, cache)}
    return [wheels[name] for name in sorted(wheels)]


def _fetch(target: Target, lock: Path, cache: Path) -> list[Path]:
    digest = hashlib.sha256(lock.read_bytes()).hexdigest()[:16]
    done = cache / "wheels" / f"{target}-{digest}"
    if not done.is_dir():
        print(f"downloading the packages of {lock.name} for {target}", file=sys.stderr)
        done.parent.mkdir(parents=True, exist_ok=True)
        partial = Path(tempfile.mkdtemp(prefix=".partial-", dir=done.parent))
        try:
            _download(target, lock, partial)
            partial.rename(done)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return sorted(done.glob("*.whl"))


def _download(target: Target, lock: Path, into: Path) -> None:
    platforms = [f"manylinux_2_{minor}_{target.machine}" for minor in range(GLIBC_MINOR, 16, -1)]
    platforms.append(f"manylinux2014_{target.machine}")
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "-q", "--no-deps"]
    command += ["--require-hashes", "--only-binary", ":all:", "--implementation", "cp"]
    command += ["--python-version", target.python]
    command += [word for abi in (target.abi, "abi3", "none") for word in ("--abi", abi)]
    command += [word for name in platforms for word in ("--platform", name)]
    command += ["-r", str(lock), "-d", str(into)]
    done = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ), check=False)
    if done.returncode:
        said = "\n  ".join(done.stderr.strip().splitlines()[-6:])
        raise BuildError(f"pip could not download the packages of {lock} for {target}:\n  {said}")
