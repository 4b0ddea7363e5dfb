"""A file system of its own to write to, so that what reaches the block device can be counted."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SIZE_BYTES = 4 << 30
_SECTOR = 512


@dataclass(frozen=True, slots=True)
class Place:
    """A folder to write to. `device`: what it lies on, where that is its own; else `reason` says why not."""

    folder: Path
    device: str = ""
    reason: str = ""

    def written_bytes(self) -> int | None:
        """What the device was given to write so far, everything that waits included."""
        if not self.device:
            return None
        os.sync()
        return int(Path(f"/sys/block/{self.device}/stat").read_text().split()[6]) * _SECTOR


@contextlib.contextmanager
def loop_disk() -> Iterator[Place]:
    """An ext4 file system with blocks of 4 KiB on a loop device; a plain folder where that cannot be made."""
    with tempfile.TemporaryDirectory(prefix="hg-bench-") as name:
        folder = Path(name)
        with contextlib.ExitStack() as stack:
            try:
                place = _mounted(folder, stack)
            except (OSError, subprocess.CalledProcessError) as error:
                said = getattr(error, "stderr", "") or str(error)
                place = Place(folder, reason=f"no loop device of its own: {said.strip()}")
            yield place


def _mounted(folder: Path, stack: contextlib.ExitStack) -> Place:
    if os.name == "nt" or os.geteuid() != 0:
        raise PermissionError("needs root")
    for tool in ("losetup", "mkfs.ext4", "mount"):
        if shutil.which(tool) is None:
            raise FileNotFoundError(f"{tool} is not installed")
    image, target = folder / "disk.img", folder / "disk"
    with image.open("wb") as file:
        file.truncate(SIZE_BYTES)
    target.mkdir()
    device = _run("losetup", "--find", "--show", str(image)).strip()
    stack.callback(_run, "losetup", "--detach", device)
    # Nothing left to be initialised later, which the counter would take for ours.
    _run("mkfs.ext4", "-q", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0", device)
    _run("mount", "-o", "noatime", device, str(target))
    stack.callback(_run, "umount", str(target))
    return Place(target, device.rpartition("/")[2])


def _run(*words: str) -> str:
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout
