"""Windows over 1,000 series: what a sample costs as frames come, against numpy over a ready matrix.

A frame's values are doubles that lie in memory, as those of the matrix do; in `live_values` they are Python's
floats, which is how the hub has them. A batch has what came within half a second, grouped by device.
"""

from __future__ import annotations

import math
import random
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from bench.form import Figure, Scenario, at_most, run
from headgate.model import Series
from headgate.window.definition import STATISTICS, Definition
from headgate.window.source import Source, SourceTuning
from headgate.window.summary import Summary

SEED = 1
DEVICES, TAGS = 10, 100
"""A device's tags share their times: one frame each."""
WINDOW_S = 60
LATENESS_MS = 2_000
SHUFFLE_MS = 1_500
LATE_SHARE = 0.01
"""Of the frames, which come 5 to 50 s after their time, many of them when their window is closed."""
REPEATS = 7
PERCENTILES = (0.5, 0.95, 0.99)
START_MS = 1_763_685_600_000

Frame = tuple[int, int, bytes]
"""Device, UTC ms, values."""
_ROW = struct.Struct(f"<{TAGS}d")


@dataclass(frozen=True, slots=True)
class Load:
    """How often each series has a sample, and over how many windows."""

    rate_hz: int
    windows: int

    @property
    def rows(self) -> int:
        """Samples of a series in a window."""
        return WINDOW_S * self.rate_hz

    @property
    def batch(self) -> int:
        """Frames of all devices in half a second."""
        return DEVICES * self.rate_hz // 2

    @property
    def samples(self) -> int:
        """Of all series in all windows."""
        return DEVICES * TAGS * self.rows * self.windows


FAST, SLOW = Load(10, 4), Load(1, 20)
"""What a window costs by itself weighs ten times as much with SLOW."""


def main(argv: Sequence[str]) -> int:
    """`./dev bench window [--json] [SCENARIO ...]`."""
    plain = Definition(WINDOW_S * 1_000, WINDOW_S * 1_000, statistics=frozenset(STATISTICS))
    percentiles = Definition(
        WINDOW_S * 1_000, WINDOW_S * 1_000, statistics=frozenset(STATISTICS), percentiles=PERCENTILES
    )
    return run(
        "window",
        argv,
        [
            Scenario("numpy_blocks", lambda: _numpy_blocks(FAST)),
            Scenario("python", lambda: _python(FAST)),
            Scenario("live", lambda: _live(FAST, plain), {"times_numpy_blocks": at_most(3)}),
            Scenario("live_percentiles", lambda: _live(FAST, percentiles)),
            Scenario("live_values", lambda: _live(FAST, plain, packed=False)),
            Scenario("live_1hz", lambda: _live(SLOW, plain)),
        ],
    )


def _live(load: Load, definition: Definition, *, packed: bool = True) -> Mapping[str, Figure]:
    """Frames in the order of their coming, to columns of closed windows; late ones have theirs told again."""
    frames = _shuffled(load)
    reference = _reference(load)
    best_s, reference_s = math.inf, math.inf
    for _ in range(REPEATS):  # in turns, so that both meet the same machine
        reference_s = min(reference_s, _seconds(reference))
        source = Source(lambda series: (definition,), SourceTuning(LATENESS_MS, 32 << 20))
        seconds, found = _fed(source, frames, load, packed)
        best_s = min(best_s, seconds)
    _compare(found, load)
    return {
        "ns_per_sample": round(best_s / load.samples * 1e9, 2),
        "times_numpy_blocks": round(best_s / reference_s, 2),
        "samples_per_window": load.rows,
        "frames_out_of_order": sum(a[1] > b[1] for a, b in pairwise(frames)),
        "samples_late": source.counters.late,
        "windows_corrected": source.counters.corrected,
        "windows": len({summary.start_ms for summary in found}),
    }


def _fed(source: Source, frames: Sequence[Frame], load: Load, packed: bool) -> tuple[float, list[Summary]]:
    """One run over all frames, which takes what closed once a window; the seconds it took."""
    tables = [tuple(Series(f"device-{device}/tag-{tag}") for tag in range(TAGS)) for device in range(DEVICES)]
    found: list[Summary] = []
    seconds = 0.0
    for position, start in enumerate(range(0, len(frames), load.batch), start=1):
        groups = _grouped(frames[start : start + load.batch], packed)
        began = time.perf_counter()
        source.began(position)
        for device, times_ms, rows, values in groups:
            shape = source.shape(device, tables[device])
            if packed:
                shape.add_packed(times_ms, rows)
            for t_ms, row in zip(times_ms, values, strict=False):
                shape.add(t_ms, row)
        source.ended()
        if position % (2 * WINDOW_S) == 0:
            found += source.take_summaries()
        seconds += time.perf_counter() - began
    began = time.perf_counter()
    source.close_all()
    found += source.take_summaries()
    return seconds + time.perf_counter() - began, found


def _grouped(
    frames: Sequence[Frame], packed: bool
) -> list[tuple[int, list[int], list[bytes], list[tuple[float, ...]]]]:
    """Frames as a batch has them: device, times, rows; and, unless `packed`, values instead of rows."""
    groups: dict[int, tuple[list[int], list[bytes], list[tuple[float, ...]]]] = {}
    for device, t_ms, row in frames:
        times_ms, rows, values = groups.setdefault(device, ([], [], []))
        times_ms.append(t_ms)
        rows.append(row)
        if not packed:
            values.append(_ROW.unpack(row))
    return [(device, *group) for device, group in groups.items()]


def _compare(found: Sequence[Summary], load: Load) -> None:
    """What was measured is right: the newest revision of each window equals numpy over the whole matrix."""
    matrix = _matrix(load).reshape(DEVICES, TAGS, -1)
    seen = set()
    for summary in sorted(found, key=lambda summary: summary.revision, reverse=True):
        at = (summary.start_ms - START_MS) // 1_000 * load.rate_hz
        for first in range(0, len(summary.series), TAGS):
            device = int(summary.series[first].name.split("/")[0].split("-")[1])
            if (device, at) in seen:
                continue
            seen.add((device, at))
            columns = slice(first, first + TAGS)
            values = matrix[device, :, at : at + load.rows]
            assert (summary.count[columns] == load.rows).all()
            np.testing.assert_array_equal(summary.low[columns], values.min(1))
            np.testing.assert_array_equal(summary.last[columns], values[:, -1])
            np.testing.assert_allclose(summary.mean[columns], values.mean(1), rtol=1e-12)
            np.testing.assert_allclose(summary.std[columns], values.std(1), rtol=1e-9)
    assert len(seen) == DEVICES * load.windows, f"{len(seen)} windows"


def _numpy_blocks(load: Load) -> Mapping[str, Figure]:
    """Count, min, max, mean, std, first and last of a matrix that lies ready, series by series."""
    work = _reference(load)
    seconds = min(_seconds(work) for _ in range(REPEATS))
    return {"ns_per_sample": round(seconds / load.samples * 1e9, 2)}


def _reference(load: Load) -> Callable[[], None]:
    flat = _matrix(load).ravel()
    starts = np.arange(0, flat.size, load.rows)

    def work() -> None:
        count = np.diff(np.append(starts, flat.size))
        low, high = np.minimum.reduceat(flat, starts), np.maximum.reduceat(flat, starts)
        mean = np.add.reduceat(flat, starts) / count
        apart = flat - np.repeat(mean, count)
        std = np.sqrt(np.add.reduceat(apart * apart, starts) / count)
        first, last = flat[starts], flat[starts + count - 1]
        assert len(low) == len(high) == len(std) == len(first) == len(last)

    return work


def _python(load: Load) -> Mapping[str, Figure]:
    """The same in plain Python, one window of one series after the other."""
    rows = [row.tolist() for row in _matrix(load)]

    def work() -> None:
        found = []
        for row in rows:
            for start in range(0, len(row), load.rows):
                values = row[start : start + load.rows]
                mean = sum(values) / len(values)
                std = math.sqrt(sum([(value - mean) ** 2 for value in values]) / len(values))
                found.append((len(values), min(values), max(values), mean, std, values[0], values[-1]))
        assert len(found) == DEVICES * TAGS * load.windows

    return {"ns_per_sample": round(_seconds(work) / load.samples * 1e9, 2)}


@cache
def _matrix(load: Load) -> NDArray[np.float64]:
    """A row for each series: a random walk in steps of 0.01."""
    rng = np.random.default_rng(SEED)
    steps = np.rint(rng.normal(0, 2.2, (DEVICES * TAGS, load.rows * load.windows)))
    return (20_000 + steps.cumsum(1)) / 100


def _shuffled(load: Load) -> list[Frame]:
    """All frames in the order in which they come: up to SHUFFLE_MS out of order, some much later."""
    rng = random.Random(SEED)
    coming: list[tuple[float, Frame]] = []
    for device in range(DEVICES):
        columns = _matrix(load)[device * TAGS : (device + 1) * TAGS].T.tolist()
        for tick, values in enumerate(columns):
            t_ms = START_MS + tick * 1_000 // load.rate_hz + rng.randrange(3)
            late = rng.random() < LATE_SHARE
            delay_ms = rng.uniform(5_000, 50_000) if late else rng.uniform(0, SHUFFLE_MS)
            coming.append((t_ms + delay_ms, (device, t_ms, _ROW.pack(*values))))
    return [frame for _, frame in sorted(coming)]


def _seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began
