"""A process of its own that kills the components' process groups once the nucleus is gone, however it went.

PR_SET_PDEATHSIG reaches only the shell; this reaches what the shell started. It reads `+pgid` and `-pgid`
lines from standard input and acts at its end. Run as a script; imports nothing of the package.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys


def watch() -> None:
    """Keep the set of groups until the nucleus's end of the pipe closes."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: set[int] = set()
    for line in sys.stdin:
        group = int(line[1:])
        if line[0] == "+":
            groups.add(group)
        else:
            groups.discard(group)
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, signal.SIGKILL)


if __name__ == "__main__":
    watch()
