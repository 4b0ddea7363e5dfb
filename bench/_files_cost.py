"""What a piece of work costs the process that does it."""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path


class Cost:
    """From here on."""

    def __init__(self) -> None:
        self._cpu_s, self._start_s = _cpu_s(), time.monotonic()

    def tell(self) -> None:
        """Write what it was as a line of JSON."""
        # ru_maxrss would be the parent's, where that was larger: it outlives exec (getrusage(2)).
        status = dict(
            line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line
        )
        found = {
            "cpu_s": _cpu_s() - self._cpu_s,
            "seconds": time.monotonic() - self._start_s,
            "rss_mb": int(status["VmHWM"].split()[0]) * 1024 / 1e6,
        }
        sys.stdout.write(json.dumps(found) + "\n")


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
