"""The gateway's heartbeat: what it is, how it is and what it costs, in stream `health` every few minutes."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import re
import shutil
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

from headgate.clock import Clock, machine_boot_id
from headgate.envelope.reports import pack_report
from headgate.requests.directory import Directory
from headgate.roles.hub_accounts import Accounts
from headgate.roles.hub_bridges import Bridges
from headgate.roles.hub_pipeline import Arrived, Pipeline
from headgate.store.retention import ShedCounters
from headgate.store.store import Store
from headgate.store.writer import Writer
from headgate.uplink.health_config import HealthConfig
from headgate.uplink.planner import Planner

FIRST_MS = 20_000
"""After the start: by then bridges have answered the hub's announcement."""
MS_PER_S = 1_000
RUNTIME = re.compile(r"/runtimes/([^/]+)/")
MAX_BRIDGES = 12
MAX_BYTES = 4_000
"""Of a heartbeat's JSON: it fits an envelope whatever the thing's name."""
SOCKET_VARIABLE = "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT"


@dataclass(slots=True)
class _Bridge:
    batches: int = 0
    dropped: int = 0
    last_ms: int = 0


@dataclass(frozen=True, slots=True)
class _Looked:
    """What only the disk knows; `oldest_s`: since the oldest envelope that waits was sealed."""

    disk: dict[str, int]
    process: dict[str, float | int | None]
    oldest_s: int


class Health:
    """Puts heartbeats together out of what the hub's other parts know.

    `digest`: of the site document; `shed`: what retention counts.
    """

    def __init__(
        self,
        clock: Clock,
        store: Store,
        pipeline: Pipeline,
        writer: Writer,
        planner: Planner,
        accounts: Accounts,
        directory: Directory,
    ) -> None:
        self._clock = clock
        self._store = store
        self._pipeline = pipeline
        self._writer = writer
        self._planner = planner
        self._accounts = accounts
        self._directory = directory
        self._began_ms = clock.boot_ms()
        self._offset_ms = clock.utc_ms() - clock.boot_ms()
        self._seen: dict[str, _Bridge] = {}
        self.config = HealthConfig()
        self.digest: str | None = None
        self.shed = ShedCounters()

    def committed(self, arrived: Arrived) -> None:
        """Batches that were just made durable."""
        for batch, _ in arrived.batches:
            bridge = self._seen.setdefault(batch.bridge, _Bridge())
            bridge.batches += 1
            bridge.dropped += batch.dropped
            bridge.last_ms = self._clock.boot_ms()

    async def run(self, bridges: Bridges) -> None:
        """One heartbeat soon after the start and one every interval, until cancelled."""
        await self._clock.sleep_until(self._clock.boot_ms() + FIRST_MS)
        while True:
            looked = await self._writer.call(self._look)
            fields = self._fields(looked, bridges.quiet_ms())
            part = pack_report("health", fields, self._clock.state())
            await self._writer.call(self._pipeline.report_health, part, self._clock.utc_ms())
            await self._clock.sleep_until(self._clock.boot_ms() + MS_PER_S * self.config.interval_s)

    def _look(self) -> _Looked:
        """Runs in the store's thread."""
        (oldest,) = self._store.queued(0, 1) or (None,)
        oldest_s = 0 if oldest is None else max(0, (self._clock.utc_ms() - oldest.sealed_ms) // 1000)
        return _Looked(disk(self._store.root, self._store.journal.size_bytes), process(), oldest_s)

    def _fields(self, looked: _Looked, quiet_ms: Mapping[str, int | None]) -> dict[str, object]:
        clock, counters, sent = self._clock, self._pipeline.counters, self._planner.counters
        count, size_bytes = self._store.outbox
        today = self._accounts.today()
        fields: dict[str, object] = {
            "t": clock.utc_ms(),
            "versions": versions(),
            "config": self.digest,
            "interval_s": self.config.interval_s,
            "boot_id": machine_boot_id(),
            "uptime_s": (clock.boot_ms() - self._began_ms) // 1000,
            "clock": {
                "state": clock.state().name.lower(),
                "moved_ms": clock.utc_ms() - clock.boot_ms() - self._offset_ms,
            },
            "backlog": {
                "envelopes": count,
                "bytes": size_bytes,
                "oldest_s": looked.oldest_s,
                "unacknowledged_bytes": self._planner.unacknowledged_bytes,
            },
            "disk": looked.disk,
            "process": looked.process,
            "cost": {
                "today": {"messages": today.messages, "bytes": today.size_bytes, "units": today.units},
                "today_usd": round(today.usd, 6),
                "month_usd": round(today.month_usd, 6),
                "step": self._accounts.step,
            },
            "counters": asdict(counters)
            | {f"uplink_{name}": n for name, n in asdict(sent).items()}
            | {f"shed_{name}": n for name, n in asdict(self.shed).items()}
            | {"set_aside": self._store.opening.set_aside},
        }
        bridges = self._bridges(quiet_ms)
        while bridges and len(json.dumps(fields | {"bridges": bridges})) > MAX_BYTES:
            bridges.popitem()
        return fields | {"bridges": bridges}

    def _bridges(self, quiet_ms: Mapping[str, int | None]) -> dict[str, dict[str, object]]:
        """The worst first, at most MAX_BRIDGES; `alive` is null of one that was not asked yet."""
        devices: dict[str, Counter[str]] = {}
        for device in self._directory.devices():
            devices.setdefault(str(device["source"]), Counter())[device["state"]] += 1
        found: list[tuple[str, dict[str, object]]] = []
        for name in sorted({*devices, *self._seen, *quiet_ms}):
            seen, states = self._seen.get(name, _Bridge()), devices.get(name, Counter())
            quiet = quiet_ms.get(name)
            row: dict[str, object] = {
                "alive": name in quiet_ms and quiet is None,
                "last_s": (self._clock.boot_ms() - seen.last_ms) // 1000 if seen.batches else None,
                "batches": seen.batches,
                "dropped": seen.dropped,
                "good": states["ok"],
                "bad": states["silent"],
                "unknown": states["unknown"],
            }
            found.append((name, row))
        found.sort(key=lambda item: (bool(item[1]["alive"]), not item[1]["bad"], item[0]))
        return dict(found[:MAX_BRIDGES])


@cache
def versions() -> dict[str, str | None]:
    """Of the runtime, as headgate.Runtime names its folder; `nucleus`: as its socket's name tells."""
    installed = RUNTIME.search(Path(__file__).resolve().as_posix())
    own = installed.group(1) if installed else None
    socket = os.environ.get(SOCKET_VARIABLE, "")
    nucleus = "classic" if socket.endswith("ipc.socket") else "lite" if "gg-ipc" in socket else None
    return {"headgate": own, "python": platform.python_version(), "nucleus": nucleus}


def disk(root: Path, journal_bytes: int) -> dict[str, int]:
    """What the state root takes, and what is free beside it, in bytes."""
    return {
        "journal_bytes": journal_bytes,
        "blocks_bytes": _size_bytes((root / "blocks").glob("*")),
        "windows_bytes": _size_bytes((root / "windows").glob("*")),
        "state_bytes": _size_bytes(root.glob("state.db*")),
        "free_bytes": shutil.disk_usage(root).free,
    }


def _size_bytes(files: Iterable[Path]) -> int:
    size_bytes = 0
    for file in files:
        with contextlib.suppress(OSError):  # gone meanwhile
            size_bytes += file.stat().st_size
    return size_bytes


def process() -> dict[str, float | int | None]:
    """Memory and CPU time of this process; None where the system does not say."""
    found = {"Rss": None, "Pss": None} | _rollup()
    return {
        "rss_kb": found["Rss"],
        "pss_kb": found["Pss"],
        "cpu_s": round(time.process_time(), 1),
    }


def _rollup() -> dict[str, int | None]:
    try:
        lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    except OSError:
        return {}
    found: dict[str, int | None] = {}
    for line in lines:
        name, _, rest = line.partition(":")
        if name in ("Rss", "Pss"):
            found[name] = int(rest.split()[0])
    return found
