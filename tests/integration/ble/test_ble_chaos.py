"""The driver survives its radio: every fault alone and many in a row, in hurried time.

`./dev test --slow ble_chaos`; two of the faults are in the ordinary tests.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.support.ble_chaos import FAULTS, Chaos, chaos, fds
from tests.support.hurried import run_hurried

SEQUENCES, LENGTH = 4, 10
DROPS = 300
FD_SLACK = 4
"""Sessions that come and go while files are counted."""


def survive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, names: list[str]) -> None:
    async def run() -> None:
        async with chaos(tmp_path, monkeypatch, seed) as site:
            for name in names:
                await FAULTS[name](site)
                took_s = await site.flows()
                print(f"{name}: {took_s:.1f} s")

    run_hurried(run())


def stand_drops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, number: int) -> None:
    async def run() -> None:
        async with chaos(tmp_path, monkeypatch, seed) as site:
            before, done = fds(), 0
            while done < number:
                done += await dropped(site)
            await site.flows()
            assert fds() <= before + FD_SLACK

    run_hurried(run())


async def dropped(site: Chaos) -> int:
    """Drop whatever is connected now; how many that were."""
    await site.pause(site.rng.uniform(0, 0.05))
    connected = (await site.fault())["connected"]
    for name in connected:
        await site.fault(drop=name)
    return len(connected)


def test_it_survives_a_killed_bluetoothd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    survive(tmp_path, monkeypatch, seed, ["crash_kill", "drops"])


def test_a_passive_scan_hears_as_well_and_becomes_active_where_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    async def run() -> None:
        async with chaos(tmp_path, monkeypatch, seed, scan="passive") as site:
            assert not (await site.fault())["discovering"]
            await site.fault(passive=False)
            await site.fault(restart="clean")
            await site.flows()
            assert (await site.fault())["discovering"]

    run_hurried(run())


@pytest.mark.slow("ble_chaos")
def test_systemd_restarts_bluetoothd_where_the_power_must_not_be_touched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    async def run() -> None:
        async with chaos(tmp_path, monkeypatch, seed, power=False, silence_s=20) as site:
            await site.fault(deaf=True)
            await site.flows()
            assert any("bluetoothd needs a restart" in notice for notice in site.notices)

    run_hurried(run())


@pytest.mark.slow("ble_chaos")
@pytest.mark.parametrize("name", FAULTS)
def test_it_survives_each_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, name: str
) -> None:
    survive(tmp_path, monkeypatch, seed, [name, name])


@pytest.mark.slow("ble_chaos")
@pytest.mark.parametrize("number", range(SEQUENCES))
def test_it_survives_faults_in_a_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int, number: int
) -> None:
    names = random.Random(f"{seed}/{number}").choices(list(FAULTS), k=LENGTH)
    survive(tmp_path, monkeypatch, seed + number, names)


@pytest.mark.slow("ble_chaos")
def test_drops_leak_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    stand_drops(tmp_path, monkeypatch, seed, DROPS)
