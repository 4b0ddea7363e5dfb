"""How the adapters and devices fare, as series of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from headgate.ble.air import Air
from headgate.ble.listener import Listener
from headgate.ble.poller import Poller
from headgate.clock import Clock
from headgate.driver import Emit
from headgate.model import Frame, Series, Value
from headgate.sleeper import Sleeper

BRIDGE = "_ble"
"""The device of what concerns the whole bridge; an adapter's is `_hci0`. No configured name begins so."""
IDLE_MS = 3_600_000


class Health:
    """Emits what was counted so far, at an interval. `place` gives a series' place in the driver's table."""

    def __init__(
        self,
        place: Callable[[Series], int],
        air: Air,
        listeners: Mapping[str, Listener],
        pollers: Mapping[str, Poller],
        clock: Clock,
    ) -> None:
        self._place = place
        self._air, self._listeners, self._pollers = air, listeners, pollers
        self._clock = clock
        self._sleeper = Sleeper(clock)
        self._interval_ms = 0
        self._since_ms = clock.boot_ms()
        self._before: dict[str, tuple[int, int]] = {}

    def changed(self, interval_ms: int) -> None:
        """Emit at another interval from now on; 0: not at all."""
        if interval_ms != self._interval_ms:
            self._interval_ms = interval_ms
            self._sleeper.wake()

    async def run(self, emit: Emit) -> None:
        """Emit until cancelled."""
        while True:
            interval_ms = self._interval_ms
            due_ms = self._clock.boot_ms() + (interval_ms or IDLE_MS)
            await self._sleeper.until(due_ms)
            now_ms = self._clock.boot_ms()
            if interval_ms and now_ms >= due_ms:
                emit(self.frame(now_ms))

    def frame(self, now_ms: int) -> Frame:
        """Everything at a boottime."""
        self._air.catch_up()
        rows: list[tuple[Series, Value]] = [(_count(BRIDGE, "fds"), open_files())]
        for name, adapter in self._air.adapters.items():
            counts, device = adapter.counts(), f"_{name}"
            rate = self._rate(name, counts.adverts, now_ms)
            rows.append((Series(f"{device}/adverts_per_s", "1/s", "f64", 1), rate))
            told = (
                *(("scans", counts.scans), ("scan_failures", counts.scan_failures)),
                *(("watchdog_steps", counts.steps), ("power_cycles", counts.power_cycles)),
                *(("restart_requests", counts.restarts), ("connections", counts.connects)),
                ("failures", counts.failures),
            )
            rows += [(_count(device, tag), value) for tag, value in told]
        for name, listener in self._listeners.items():
            rows.append((_count(name, "_packets"), listener.packets))
            rows.append((_count(name, "_undecoded"), listener.undecoded))
            rows.append((_count(name, "_stuck"), int(listener.stuck)))
        for name, poller in self._pollers.items():
            rows.append((_count(name, "_connections"), poller.connections))
            rows.append((_count(name, "_failures"), poller.failures))
        return Frame(now_ms, [self._place(series) for series, _ in rows], [value for _, value in rows])

    def _rate(self, name: str, total: int, now_ms: int) -> float:
        """Per second since the last time."""
        before, since_ms = self._before.get(name, (0, self._since_ms))
        self._before[name] = total, now_ms
        return round((total - before) * 1000 / max(1, now_ms - since_ms), 1)


def open_files() -> int:
    """File descriptors of this process: a leak of connections to the bus shows here first."""
    try:
        return sum(1 for _ in Path("/proc/self/fd").iterdir())
    except OSError:
        return 0


def _count(device: str, tag: str) -> Series:
    return Series(f"{device}/{tag}", "1", "i64")
