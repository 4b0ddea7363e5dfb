"""Windows over 1,000 series: what a sample costs as frames come, against numpy over a ready matrix."""

from __future__ import annotations

import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

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
"""Frames of a batch."""
REPEATS = 5
PERCENTILES = (0.5, 0.95, 0.99)
START_MS = 1_763_685_600_000
SAMPLES = DEVICES * TAGS * WINDOW_S * WINDOWS

_best: dict[str, float] = {}


@dataclass(frozen=True, slots=True)
class Frame:
    """What a device said at once, and when."""

    device: int
    t_ms: int
    values: tuple[float, ...]


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
    found: list[Summary] = []
    sources: list[Source] = []

    def work() -> None:
        source = Source(lambda series: (definition,), SourceTuning(LATENESS_MS, 16 << 20))
        sources[:], found[:] = [source], _run(source, frames)

    ns = _ns_per_sample(work)
    counters = sources[0].counters
    _compare(found)
    return {
        "ns_per_sample": round(ns, 2),
        "times_numpy_blocks": round(ns / _reference_ns(), 2),
        "frames_shuffled": sum(a.t_ms > b.t_ms for a, b in zip(frames, frames[1:], strict=False)),
        "samples_late": counters.late,
        "windows_corrected": counters.corrected,
        "windows": sum(summary.revision == 0 for summary in found) // DEVICES,
    }


def _run(source: Source, frames: Sequence[Frame]) -> list[Summary]:
    tables = [
        tuple(Series(f"device-{device}/tag-{tag}") for tag in range(TAGS)) for device in range(DEVICES)
    ]
    found: list[Summary] = []
    for position, start in enumerate(range(0, len(frames), BATCH), start=1):
        source.began(position)
        for frame in frames[start : start + BATCH]:
            source.shape(frame.device, tables[frame.device]).add(frame.t_ms, frame.values)
        source.ended()
        if position % WINDOW_S == 0:
            found += source.take_summaries()
    source.close_all()
    return found + source.take_summaries()


def _compare(found: Sequence[Summary]) -> None:
    """What was measured is right: the newest revision of each window equals numpy over the whole matrix."""
    matrix = _matrix()
    newest = {
        (summary.start_ms, summary.series): summary for summary in sorted(found, key=lambda s: s.revision)
    }
    assert len(newest) == DEVICES * WINDOWS, f"{len(newest)} windows"
    for (start_ms, series), summary in newest.items():
        device = int(series[0].name.split("/")[0].split("-")[1])
        at = (start_ms - START_MS) // 1_000
        values = matrix[device * TAGS : (device + 1) * TAGS, at : at + WINDOW_S]
        assert (summary.count == WINDOW_S).all()
        np.testing.assert_array_equal(summary.low, values.min(1))
        np.testing.assert_array_equal(summary.last, values[:, -1])
        np.testing.assert_allclose(summary.mean, values.mean(1), rtol=1e-12)
        np.testing.assert_allclose(summary.std, values.std(1), rtol=1e-9)


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
    coming: list[tuple[float, int, Frame]] = []
    for device in range(DEVICES):
        columns = matrix[device * TAGS : (device + 1) * TAGS].T.tolist()
        for second, values in enumerate(columns):
            t_ms = START_MS + second * 1_000 + rng.randrange(3)
            late_ms = rng.uniform(5_000, 50_000) if rng.random() < LATE_SHARE else rng.uniform(0, 1_500)
            coming.append((t_ms + late_ms, len(coming), Frame(device, t_ms, tuple(values))))
    return [frame for _, _, frame in sorted(coming)]


def _ns_per_sample(work: Callable[[], None]) -> float:
    """CPU time of the best of some runs."""
    best = math.inf
    for _ in range(REPEATS):
        start = time.process_time()
        work()
        best = min(best, time.process_time() - start)
    return best / SAMPLES * 1e9
