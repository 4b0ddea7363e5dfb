"""The lock on a state root: one writer, and a clear word to the second one."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from headgate.errors import Fatal


class RootInUse(Fatal):
    """Another process holds the state root; it may be an orphan that ends soon."""


class RootLock:
    """Held from construction until `close` or the end of the process. Raises RootInUse while another holds
    it.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o640)
        except OSError as error:
            raise Fatal(f"{path}: {error.strerror}; give this component's user write access") from error
        if not _try_lock(self._fd):
            holder = os.read(self._fd, 20).decode(errors="replace").strip() or "unknown"
            os.close(self._fd)
            raise RootInUse(
                f"state root {path.parent} is in use by another hub (pid {holder}): "
                "stop it or set another stateRoot"
            )
        os.truncate(self._fd, 0)
        os.write(self._fd, f"{os.getpid()}\n".encode())

    def close(self) -> None:
        """Release it; the file stays."""
        os.close(self._fd)


def _try_lock(fd: int) -> bool:
    if sys.platform == "win32":
        import msvcrt

        try:
            # Behind the pid, because Windows hides locked bytes from readers.
            os.lseek(fd, 64, os.SEEK_SET)
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
            os.lseek(fd, 0, os.SEEK_SET)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
