"""What processes cost, read from /proc: CPU time, proportional memory, bytes written to the block device."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Usage:
    """Sums over a process and its descendants; `cpu_s` is user + system."""

    cpu_s: float
    pss_mb: float
    written_bytes: int


def usage(pid: int) -> Usage:
    """What the process tree below `pid` has used so far; a process that is gone counts nothing."""
    pids = tree(pid)
    return Usage(sum(map(_cpu_s, pids)), sum(map(_pss_kb, pids)) / 1024, sum(map(_written_bytes, pids)))


def tree(pid: int) -> list[int]:
    """The process and all its descendants."""
    children = _read(pid, f"task/{pid}/children").split()
    return [pid, *(descendant for child in children for descendant in tree(int(child)))]


def _read(pid: int, name: str) -> str:
    try:
        return Path(f"/proc/{pid}/{name}").read_text()
    except OSError:
        return ""


def _cpu_s(pid: int) -> float:
    # The name in the second field may hold spaces: count the rest from its closing bracket.
    fields = _read(pid, "stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S if fields else 0.0


def _pss_kb(pid: int) -> int:
    return _field(_read(pid, "smaps_rollup"), "Pss:")


def _written_bytes(pid: int) -> int:
    return _field(_read(pid, "io"), "write_bytes:")


def _field(text: str, name: str) -> int:
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith(name)), 0)
