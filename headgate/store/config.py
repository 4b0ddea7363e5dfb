"""The `store:` section of a site document as a frozen type: how much is kept, and for how long."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headgate.config.reader import Problems, Section

DEFAULT_MAX_BYTES = 4 * 1024**3
"""Years of a hundred values a second, and a fraction of the smallest cards that are sold."""
DEFAULT_PART = 4
"""Of the file system the fourth part at most, where nothing else is said."""
MIN_MAX_BYTES = 64 * 1024**2
"""Room for the journal, one day and an outbox; below it nothing sensible is kept."""
MAX_DAYS = 36_500
DEFAULT_STEP_MS = 60_000


@dataclass(frozen=True, slots=True)
class StoreConfig:
    """`max_bytes`: over the whole state root; None: see `cap_bytes`.

    Raw samples are kept for `keep_days` and then as windows of `step_ms`, these for `windows_keep_days` from
    the day itself; None: as long as there is room.
    """

    max_bytes: int | None = None
    keep_days: int | None = None
    windows_keep_days: int | None = None
    step_ms: int = DEFAULT_STEP_MS

    def cap_bytes(self, root: Path) -> int:
        """How many bytes may lie under a state root that exists."""
        if self.max_bytes is not None:
            return self.max_bytes
        part = shutil.disk_usage(root).total // DEFAULT_PART
        return max(MIN_MAX_BYTES, min(DEFAULT_MAX_BYTES, part))


def parse(section: Section) -> StoreConfig:
    """Read the `store:` section; faults go to the section's problems (for `parse_sections`)."""
    config = StoreConfig(
        max_bytes=_integer(section, "max_bytes", low=MIN_MAX_BYTES, high=1 << 50),
        keep_days=_integer(section, "keep_days", low=1, high=MAX_DAYS),
        windows_keep_days=_integer(section, "windows_keep_days", low=1, high=MAX_DAYS),
        step_ms=1_000 * section.integer("windows_step_s", DEFAULT_STEP_MS // 1_000, low=1, high=86_400),
    )
    if config.windows_keep_days is not None and config.windows_keep_days < (config.keep_days or 0):
        section.fault(
            "windows_keep_days",
            f"{config.windows_keep_days} is less than keep_days, {config.keep_days}",
            "it counts from the day itself, as keep_days does",
        )
    section.close()
    return config


def parse_mapping(values: Mapping[str, Any], source: str = "store") -> StoreConfig:
    """Read the section on its own. Raises Reject with every fault."""
    problems = Problems(source)
    config = parse(Section(values, "", problems))
    problems.reject_if_any()
    return config


def _integer(section: Section, key: str, *, low: int, high: int) -> int | None:
    return section.integer(key, low=low, high=high) if section.has(key) else None
