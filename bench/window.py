"""Windows over 1,000 series: what a sample costs as frames come, against numpy over a ready matrix."""

from __future__ import annotations

import math
import random
import struct
import time
from collections.abc import Callable, Mapping, Sequence
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
WINDOW_S, WINDOWS = 60, 20
LATENESS_MS = 2_000
LATE_SHARE = 0.01
"""Of the frames, which come 5 to 50 s after their time: most of them when their window is closed."""
BATCH = 10
"""Frames of a batch; a batch is decoded before the clock starts, as the hub's other parts need it decoded."""
REPEATS = 5
PERCENTILES = (0.5, 0.95, 0.99)
START_MS = 1_763_685_600_000
SAMPLES = DEVICES * TAGS * WINDOW_S * WINDOWS

Frame = tuple[int, int, bytes]
"""Device, UTC ms, values."""
_ROW = struct.Struct(f"<{TAGS}d")

_best: dict[str, float] = {}


def main(argv: Sequence[str]) -> int:
    """`./dev bench window [--json] [SCENARIO ...]`."""
    return run(
        "window",
        argv,
        [
            Scenario("numpy_blocks", _numpy_blocks),
            Scenario("python", _python),
            Scenario("live", _live, {"times_numpy_blocks": at_most(3)}),
            Scenario("live_percentiles", _live_percentiles),
        ],
    )


def _live() -> Mapping[str, Figure]:
    return _measured_live(Definition(WINDOW_S * 1_000, WINDOW_S * 1_000, statistics=frozenset(STATISTICS)))


def _live_percentiles() -> Mapping[str, Figure]:
    return _measured_live(
        Definition(
            WINDOW_S * 1_000,
            WINDOW_S * 1_000,
            statistics=frozenset(STATISTICS),
            percentiles=PERCENTILES,
        )
    )


def _measured_live(definition: Definition) -> Mapping[str, Figure]:
    """Frames in the order of their coming, to columns of closed windows; late ones have theirs told again."""
    frames = _shuffled(_matrix())
    runs = [_Run(definition) for _ in range(REPEATS)]
    for each in runs:
        each.go(frames)
        _compare(each.found)
    ns = min(each.seconds for each in runs) / SAMPLES * 1e9
    counters, found = runs[0].source.counters, runs[0].found
    return {
        "ns_per_sample": round(ns, 2),
        "times_numpy_blocks": round(ns / _reference_ns(), 2),
        "frames_out_of_order": sum(a[1] > b[1] for a, b in pairwise(frames)),
        "samples_late": counters.late,
        "windows_corrected": counters.corrected,
        "windows": len({summary.start_ms for summary in found}),
    }


class _Run:
    """One run over all frames, from where a hub has them decoded to columns of windows."""

    def __init__(self, definition: Definition) -> None:
        self.source = Source(lambda series: (definition,), SourceTuning(LATENESS_MS, 16 << 20))
        self.found: list[Summary] = []
        self.seconds = 0.0

    def go(self, frames: Sequence[Frame]) -> None:
        source = self.source
        tables = [
            tuple(Series(f"device-{device}/tag-{tag}") for tag in range(TAGS)) for device in range(DEVICES)
        ]
        for position, start in enumerate(range(0, len(frames), BATCH), start=1):
            batch = [
                (device, t_ms, _ROW.unpack(values)) for device, t_ms, values in frames[start : start + BATCH]
            ]
            began = time.perf_counter()
            source.began(position)
            for device, t_ms, values in batch:
                source.shape(device, tables[device]).add(t_ms, values)
            source.ended()
            if position % WINDOW_S == 0:
                self.found += source.take_summaries()
            self.seconds += time.perf_counter() - began
        began = time.perf_counter()
        source.close_all()
        self.found += source.take_summaries()
        self.seconds += time.perf_counter() - began


def _compare(found: Sequence[Summary]) -> None:
    """What was measured is right: the newest revision of each window equals numpy over the whole matrix."""
    matrix = _matrix().reshape(DEVICES, TAGS, -1)
    seen = set()
    for summary in sorted(found, key=lambda summary: summary.revision, reverse=True):
        at = (summary.start_ms - START_MS) // 1_000
        for first in range(0, len(summary.series), TAGS):
            device = int(summary.series[first].name.split("/")[0].split("-")[1])
            if (device, at) in seen:
                continue
            seen.add((device, at))
            columns = slice(first, first + TAGS)
            values = matrix[device, :, at : at + WINDOW_S]
            assert (summary.count[columns] == WINDOW_S).all()
            np.testing.assert_array_equal(summary.low[columns], values.min(1))
            np.testing.assert_array_equal(summary.last[columns], values[:, -1])
            np.testing.assert_allclose(summary.mean[columns], values.mean(1), rtol=1e-12)
            np.testing.assert_allclose(summary.std[columns], values.std(1), rtol=1e-9)
    assert len(seen) == DEVICES * WINDOWS, f"{len(seen)} windows"


def _numpy_blocks() -> Mapping[str, Figure]:
    """Count, min, max, mean, std, first and last of a matrix that lies ready, series by series."""
    return {"ns_per_sample": round(_reference_ns(), 2)}


def _reference_ns() -> float:
    if "numpy_blocks" not in _best:
        flat = _matrix().ravel()
        starts = np.arange(0, flat.size, WINDOW_S)

        def work() -> None:
            count = np.diff(np.append(starts, flat.size))
            low, high = np.minimum.reduceat(flat, starts), np.maximum.reduceat(flat, starts)
            mean = np.add.reduceat(flat, starts) / count
            apart = flat - np.repeat(mean, count)
            std = np.sqrt(np.add.reduceat(apart * apart, starts) / count)
            first, last = flat[starts], flat[starts + count - 1]
            assert len(low) == len(high) == len(std) == len(first) == len(last)

        _best["numpy_blocks"] = _ns_per_sample(work)
    return _best["numpy_blocks"]


def _python() -> Mapping[str, Figure]:
    """The same in plain Python, one window of one series after the other."""
    rows = [row.tolist() for row in _matrix()]

    def work() -> None:
        found = []
        for row in rows:
            for start in range(0, len(row), WINDOW_S):
                values = row[start : start + WINDOW_S]
                mean = sum(values) / len(values)
                std = math.sqrt(sum([(value - mean) ** 2 for value in values]) / len(values))
                found.append((len(values), min(values), max(values), mean, std, values[0], values[-1]))
        assert len(found) == DEVICES * TAGS * WINDOWS

    return {"ns_per_sample": round(_ns_per_sample(work), 2)}


def _matrix() -> NDArray[np.float64]:
    """A row for each series: a random walk in steps of 0.01, one value a second."""
    rng = np.random.default_rng(SEED)
    steps = np.rint(rng.normal(0, 2.2, (DEVICES * TAGS, WINDOW_S * WINDOWS)))
    return (20_000 + steps.cumsum(1)) / 100


def _shuffled(matrix: NDArray[np.float64]) -> list[Frame]:
    """Each device's frames, in the order in which they come: up to 1 s out of order, some much later."""
    rng = random.Random(SEED)
    coming: list[tuple[float, Frame]] = []
    for device in range(DEVICES):
        columns = matrix[device * TAGS : (device + 1) * TAGS].T.tolist()
        for second, values in enumerate(columns):
            t_ms = START_MS + second * 1_000 + rng.randrange(3)
            late_ms = rng.uniform(5_000, 50_000) if rng.random() < LATE_SHARE else rng.uniform(0, 1_500)
            coming.append((t_ms + late_ms, (device, t_ms, _ROW.pack(*values))))
    return [frame for _, frame in sorted(coming)]


def _ns_per_sample(work: Callable[[], None]) -> float:
    """The best of some runs."""
    best = math.inf
    for _ in range(REPEATS):
        start = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - start)
    return best / SAMPLES * 1e9
