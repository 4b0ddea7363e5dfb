"""Time, injected everywhere: boottime for durations, UTC for the cloud, and what the clock is worth."""

from __future__ import annotations

import asyncio
import ctypes
import os
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Protocol

from headgate.columns import MAX_UTC_MS
from headgate.model import ClockState

STA_UNSYNC = 0x0040
"""Bit of `struct timex.status`: the kernel's clock is not synchronised (adjtimex(2))."""
UTC_PLAUSIBLE_MS = 1_735_689_600_000
"""2025-01-01: a gateway that reads an earlier date has booted without a clock."""


SYNCED_SINCE_BOOT = Path("/run/systemd/timesync/synchronized")
"""There once systemd-timesyncd has set the clock in this boot (systemd-timesyncd.service(8))."""
CLOCK_DEVICES = Path("/sys/class/rtc")
"""The machine's clocks with a battery; `since_epoch` of each is its time in s (Linux, sysfs-class-rtc)."""


class Clock(Protocol):
    """What any room may know of time."""

    def boot_ms(self) -> int:
        """Milliseconds since boot, suspend included; never jumps."""

    def utc_ms(self) -> int:
        """Milliseconds since 1970 UTC; may jump when a time source sets it."""

    def state(self) -> ClockState:
        """How far `utc_ms` can be believed."""

    async def sleep_until(self, boot_ms: int) -> None:
        """Return when `boot_ms()` has reached the given time; at once when it has passed."""


class SystemClock:
    """The machine's own clocks."""

    def __init__(self) -> None:
        self._synced_once = False

    def boot_ms(self) -> int:
        if sys.platform == "linux":
            return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1_000_000
        return time.monotonic_ns() // 1_000_000

    def utc_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def state(self) -> ClockState:
        """SYNCED as the kernel says; HOLDOVER where it was set since boot, or a clock with a battery went on.

        A plausible date alone proves nothing: without such a clock the date goes on from that of the last
        shutdown (fake-hwclock, systemd-timesyncd).
        """
        if not UTC_PLAUSIBLE_MS <= self.utc_ms() <= MAX_UTC_MS:
            return ClockState.UNSYNCED
        if _kernel_synchronised():
            self._synced_once = True
            return ClockState.SYNCED
        if self._synced_once or SYNCED_SINCE_BOOT.exists() or _kept_time():
            return ClockState.HOLDOVER
        return ClockState.UNSYNCED

    async def sleep_until(self, boot_ms: int) -> None:
        while (left_ms := boot_ms - self.boot_ms()) > 0:
            await asyncio.sleep(left_ms / 1000)


class ManualClock:
    """A clock for tests: time moves only when told, and sleepers wake in order of their time."""

    def __init__(self, *, boot_ms: int = 0, utc_ms: int = 1_800_000_000_000) -> None:
        self._boot_ms = boot_ms
        self._offset_ms = utc_ms - boot_ms
        self._state = ClockState.SYNCED
        self._sleepers: list[tuple[int, asyncio.Future[None]]] = []

    def boot_ms(self) -> int:
        return self._boot_ms

    def utc_ms(self) -> int:
        return self._boot_ms + self._offset_ms

    def state(self) -> ClockState:
        return self._state

    def set_utc(self, utc_ms: int, state: ClockState = ClockState.SYNCED) -> None:
        """Jump UTC, as a time source does; boottime goes on."""
        self._offset_ms = utc_ms - self._boot_ms
        self._state = state

    async def sleep_until(self, boot_ms: int) -> None:
        if boot_ms <= self._boot_ms:
            await asyncio.sleep(0)
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((boot_ms, future))
        await future

    async def advance(self, ms: int, *, turns: int = 8) -> None:
        """Move time on, stopping at each sleeper's time; `turns` loop turns are given after each."""
        end = self._boot_ms + ms
        await _let_run(turns)
        while True:
            due = min((t for t, f in self._sleepers if not f.done()), default=end)
            if due > end:
                due = end
            self._boot_ms = max(self._boot_ms, due)
            self._wake()
            await _let_run(turns)
            if self._boot_ms >= end and not any(t <= end and not f.done() for t, f in self._sleepers):
                return

    def _wake(self) -> None:
        for t, future in sorted(self._sleepers, key=lambda sleeper: sleeper[0]):
            if t <= self._boot_ms and not future.done():
                future.set_result(None)
        self._sleepers = [(t, future) for t, future in self._sleepers if not future.done()]


def machine_boot_id() -> str:
    """The kernel's boot id (a UUID that changes with each boot); empty where there is none."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def random_id() -> int:
    """64 random bits for run ids and epochs; never 0, which means `none` on the wire."""
    return int.from_bytes(os.urandom(8), "little") or 1


@cache
def _kept_time() -> bool:
    """Whether time went on while the machine was off: looked at once, since NTP sets these clocks later.

    A kernel that shows no such devices is that of a container or a virtual machine: the host's time.
    """
    if not CLOCK_DEVICES.is_dir():
        return True
    for device in CLOCK_DEVICES.iterdir():
        with suppress(OSError, ValueError):
            if int((device / "since_epoch").read_text()) * 1000 >= UTC_PLAUSIBLE_MS:
                return True
    return False


async def _let_run(turns: int) -> None:
    for _ in range(turns):
        await asyncio.sleep(0)


@cache
def _adjtimex() -> Callable[[ctypes.Array[ctypes.c_char]], int]:
    """The C library's; kept, since looking it up makes a class each time, and each batch asks."""
    found: Callable[[ctypes.Array[ctypes.c_char]], int] = ctypes.CDLL(None, use_errno=True).adjtimex
    return found


def _kernel_synchronised() -> bool:
    if sys.platform != "linux":
        return False
    # struct timex: modes is the first u32, status the int after three more longs (adjtimex(2)).
    buffer = ctypes.create_string_buffer(256)
    if _adjtimex()(buffer) < 0:
        return False
    word = ctypes.sizeof(ctypes.c_long)
    status = int.from_bytes(buffer.raw[5 * word : 5 * word + 4], sys.byteorder)
    return not status & STA_UNSYNC
