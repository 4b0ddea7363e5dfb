"""The gateway's state root: where each kind of file lives, and how a file gets there whole or not at all."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from headgate.errors import Fatal

DEFAULT = Path("/var/lib/headgate")
"""Where the state lives unless the components' configuration says otherwise."""

MODE = 0o750
"""Of every directory below the root: the gateway's user and group, nobody else."""


@dataclass(frozen=True, slots=True)
class StateRoot:
    """Paths below one configured root, independent of component names (docs/wire.md, "State root")."""

    path: Path

    @classmethod
    def at(cls, path: str) -> StateRoot:
        """The state root at a configured path."""
        return cls(Path(path))

    @property
    def journal(self) -> Path:
        """Directory of the append-only journal, `*.log`."""
        return self.path / "journal"

    @property
    def state_db(self) -> Path:
        """Windows, outbox, cursors, request ids."""
        return self.path / "state.db"

    @property
    def blocks(self) -> Path:
        """Directory of sealed columns, one file a day."""
        return self.path / "blocks"

    @property
    def tables(self) -> Path:
        """Directory of the newest tables of series, a second time, each `<content hash>.json`."""
        return self.path / "tables"

    @property
    def windows(self) -> Path:
        """Directory of what is kept of days whose raw samples are gone."""
        return self.path / "windows"

    @property
    def quarantine(self) -> Path:
        """Directory of files set aside because they could not be read."""
        return self.path / "quarantine"

    @property
    def spool(self) -> Path:
        """Directory of what waits for another process, such as a bridge's unacknowledged batches."""
        return self.path / "spool"

    @property
    def replies(self) -> Path:
        """Directory of replies too large for the way up, each `<request id>.json`."""
        return self.spool / "replies"

    @property
    def courier(self) -> Path:
        """Directory of what the courier knows: what it announced, and how far each upload is."""
        return self.spool / "courier"

    @property
    def audit(self) -> Path:
        """Directory of what became of each request, one file a day."""
        return self.path / "audit"

    @property
    def config(self) -> Path:
        """Directory of accepted site documents, each named by its SHA-256 in hex."""
        return self.path / "config"

    @property
    def current(self) -> Path:
        """File that holds the digest of the site document in force."""
        return self.config / "current"

    @property
    def lock(self) -> Path:
        """File locked by the hub while it writes here."""
        return self.path / "lock"

    def pending(self, bridge: str) -> Path:
        """File of the batches that a bridge could not hand over before it stopped."""
        return self.spool / f"{bridge}.pending"

    def create(self) -> None:
        """Make the root and its directories where they are missing. Raises Fatal where that fails."""
        try:
            for directory in (
                self.path,
                self.journal,
                self.blocks,
                self.windows,
                self.quarantine,
                self.spool,
                self.replies,
                self.audit,
                self.config,
            ):
                directory.mkdir(mode=MODE, parents=True, exist_ok=True)
        except OSError as error:
            raise Fatal(
                f"state root {self.path}: cannot make {error.filename}: {error.strerror}; "
                "give the component's user the right to write there or set another stateRoot"
            ) from error

    def set_aside(self, path: Path, boot_ms: int) -> Path:
        """Move a file that cannot be read to the quarantine, under an unused name; return the new path."""
        target = self.quarantine / f"{path.name}.{boot_ms}"
        for n in range(1, 1000):
            if not target.exists():
                break
            target = self.quarantine / f"{path.name}.{boot_ms}-{n}"
        self.quarantine.mkdir(mode=MODE, parents=True, exist_ok=True)
        path.rename(target)
        return target


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file durably: after a crash it holds the old bytes or the new ones. Raises OSError."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_directory(path.parent)


def sync_directory(path: Path) -> None:
    """Make renames and unlinks in a directory durable, where the platform can."""
    if os.name == "nt":
        return
    with _opened(path) as descriptor:
        os.fsync(descriptor)


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
