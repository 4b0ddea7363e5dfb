"""The BLE bridge up to Bus.publish, beside bleak alone: cost, memory and that nothing is lost."""

from __future__ import annotations

import json
import os
import struct
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bench._processes import Child, child
from bench.form import Figure, Scenario, at_least, at_most, run
from gateway_sim.runs.usage import usage
from headgate.batch import decode

WARM_UP_S, MEASURED_S = 5.0, 25.0


@dataclass(frozen=True, slots=True)
class Load:
    """Devices, each of which sends so often; every packet is new."""

    devices: int
    per_s: int

    @property
    def adverts_per_s(self) -> int:
        return self.devices * self.per_s


LOADS = {"200x1hz": Load(200, 1), "200x5hz": Load(200, 5), "500x10hz": Load(500, 10)}


def main(argv: Sequence[str]) -> int:
    """`./dev bench ble [--json] [SCENARIO ...]`."""
    goals = {"cpu_ratio": at_most(1.6), "pss_over_floor_mb": at_most(8), "lost": at_most(0)}
    return run(
        "ble",
        argv,
        [
            Scenario(
                name, partial(_measure, load), goals | {"adverts_per_s": at_least(0.98 * load.adverts_per_s)}
            )
            for name, load in LOADS.items()
        ],
    )


@dataclass(frozen=True, slots=True)
class Used:
    """What a process took while so many packets were sent."""

    seconds: float
    cpu_s: float
    pss_mb: float
    sent: int


def _measure(load: Load) -> Mapping[str, Figure]:
    """The bridge, then bleak alone, on the same air."""
    with tempfile.TemporaryDirectory(prefix="hg-bench-") as folder:
        directory = Path(folder)
        words = (str(load.devices), str(load.adverts_per_s), folder)
        with child("bench._ble_air", *words) as air:
            told = json.loads(air.line())
            environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": told["bus"]}
            site, batches = directory / "site.json", directory / "batches.bin"
            site.write_text(json.dumps({"schema": 1, "ble": {"devices": told["devices"]}}))
            argv = ("bench._ble_bridge", str(site), str(directory / "state"), str(batches))
            with child(*argv, environment=environment) as bridge:
                bridge.line()
                ours = _used(bridge.pid, air)
            with child("bench._ble_bare", environment=environment) as bare:
                bare.line()
                floor = _used(bare.pid, air)
            floor_mb = _floor_mb()  # what processes share is shared with as many
        frames, values, lost = _judge(batches)
    wall_s = WARM_UP_S + ours.seconds
    per_advert, bare_per_advert = ours.cpu_s / ours.sent, floor.cpu_s / floor.sent
    return {
        "adverts_per_s": round(ours.sent / ours.seconds, 1),
        "values_per_s": round(values / frames * ours.sent / ours.seconds, 1),
        "lost": lost,
        "packets": frames,
        "cpu_core_share": round(ours.cpu_s / ours.seconds, 4),
        "bleak_alone_core_share": round(floor.cpu_s / floor.seconds, 4),
        "cpu_us_per_advert": round(per_advert * 1e6, 1),
        "cpu_ratio": round(per_advert / bare_per_advert, 2),
        "pss_mb": round(ours.pss_mb, 1),
        "import_floor_mb": floor_mb,
        "pss_over_floor_mb": round(ours.pss_mb - floor_mb, 1),
        "seconds": round(wall_s, 1),
    }


def _used(pid: int, air: Child) -> Used:
    time.sleep(WARM_UP_S)
    start_s, before, sent = time.monotonic(), usage(pid), json.loads(air.ask(""))["sent"]
    time.sleep(MEASURED_S)
    after, done = usage(pid), json.loads(air.ask(""))["sent"]
    return Used(time.monotonic() - start_s, after.cpu_s - before.cpu_s, after.pss_mb, done - sent)


def _floor_mb() -> float:
    """A process that has imported what the bridge imports, and does nothing."""
    with child("bench._ble_bridge", "--imports") as process:
        process.line()
        return round(usage(process.pid).pss_mb, 1)


def _judge(path: Path) -> tuple[int, int, int]:
    """Packets, values and lost packets: each device's count, its first tag, goes up by one."""
    last: dict[int, int] = {}
    frames = values = lost = 0
    for wire in _batches(path):
        for frame in decode(wire).frames:
            count, series = frame.values[0], frame.series[0]
            if not isinstance(count, int):
                continue  # a mark
            frames, values = frames + 1, values + len(frame.values)
            # A RuuviTag's count is longer: what is missing is seen modulo 256 either way.
            lost += (count - last.get(series, count - 1) - 1) % 256
            last[series] = count
    return frames, values, lost


def _batches(path: Path) -> Iterator[bytes]:
    data = path.read_bytes()
    at = 0
    while at + 4 <= len(data):
        (size,) = struct.unpack_from("<I", data, at)
        yield data[at + 4 : at + 4 + size]
        at += 4 + size
