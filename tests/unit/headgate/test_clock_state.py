from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from headgate import clock
from headgate.clock import SystemClock
from headgate.model import ClockState


@pytest.fixture(autouse=True)
def unsynchronised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A kernel that vouches for nothing, on a machine whose devices are in the folder."""
    devices = tmp_path / "rtc"
    devices.mkdir()
    monkeypatch.setattr(clock, "_kernel_synchronised", lambda: False)
    monkeypatch.setattr(clock, "CLOCK_DEVICES", devices)
    monkeypatch.setattr(clock, "SYNCED_SINCE_BOOT", tmp_path / "synchronized")
    clock._kept_time.cache_clear()
    yield devices
    clock._kept_time.cache_clear()


def device(devices: Path, since_epoch: str) -> None:
    (devices / "rtc0").mkdir()
    (devices / "rtc0/since_epoch").write_text(since_epoch)


def test_a_plausible_date_proves_nothing_without_a_battery(unsynchronised: Path) -> None:
    assert SystemClock().state() is ClockState.UNSYNCED


def test_a_clock_with_a_battery_is_believed(unsynchronised: Path) -> None:
    device(unsynchronised, "1763685600\n")
    assert SystemClock().state() is ClockState.HOLDOVER


def test_a_clock_whose_battery_is_empty_is_not(unsynchronised: Path) -> None:
    device(unsynchronised, "86\n")
    assert SystemClock().state() is ClockState.UNSYNCED


def test_what_was_set_since_boot_is_held_over(unsynchronised: Path, tmp_path: Path) -> None:
    (tmp_path / "synchronized").touch()
    assert SystemClock().state() is ClockState.HOLDOVER


def test_what_was_synchronised_once_is_held_over(
    unsynchronised: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    system = SystemClock()
    monkeypatch.setattr(clock, "_kernel_synchronised", lambda: True)
    assert system.state() is ClockState.SYNCED
    monkeypatch.setattr(clock, "_kernel_synchronised", lambda: False)
    assert system.state() is ClockState.HOLDOVER


@pytest.mark.parametrize("utc_ms", [1_000, 5_000_000_000_000])
def test_a_date_before_2025_or_after_2099_is_never_believed(
    unsynchronised: Path, monkeypatch: pytest.MonkeyPatch, utc_ms: int
) -> None:
    monkeypatch.setattr(clock, "_kernel_synchronised", lambda: True)
    monkeypatch.setattr(SystemClock, "utc_ms", lambda self: utc_ms)
    assert SystemClock().state() is ClockState.UNSYNCED


def test_without_such_devices_time_is_the_hosts(
    unsynchronised: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "CLOCK_DEVICES", unsynchronised / "none")
    assert SystemClock().state() is ClockState.HOLDOVER
