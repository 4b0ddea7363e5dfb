"""Seeded data for benchmarks: devices of many tags, read together at a rate, as numbers or as batches.

`walk`: a random walk in steps of 0.01, drawn from N(0, 2.2) and rounded. `noise`: 16-bit values drawn from
N(m, 300) about a mean of each tag's own. The times of a device's reads are jittered by N(0, 3 ms).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from headgate.model import Batch, ClockState, Frame, Series, dictionary_hash

START_MS = 1_763_704_800_000
"""2025-11-21 06:00 UTC."""
BATCH_FRAMES = 8
"""Frames of 100 doubles that a batch has room for (headgate/batch.py)."""
_CHUNK = 500
"""Reads of a device that are drawn at once."""


@dataclass(frozen=True, slots=True)
class Site:
    """`devices` of `tags` series each, all read `hz` times a second."""

    kind: Literal["walk", "noise"] = "walk"
    devices: int = 10
    tags: int = 100
    hz: int = 1
    seed: int = 1

    def table(self) -> tuple[Series, ...]:
        """All series, device after device."""
        decimals, unit = (2, "V") if self.kind == "walk" else (0, "")
        return tuple(
            Series(f"device-{device:02d}/t{tag:03d}", unit, "f64", decimals)
            for device in range(self.devices)
            for tag in range(self.tags)
        )

    def reads(self, device: int) -> Iterator[tuple[int, tuple[float, ...]]]:
        """(UTC ms, values) of one device, without end."""
        times, jitters, steps = (np.random.default_rng((self.seed, device, stream)) for stream in range(3))
        level = times.integers(0, 1 << 16, self.tags).astype(np.float64)
        start = 0
        while True:
            drawn = steps.normal(0.0, 1.0, (_CHUNK, self.tags))
            rows = self._rows(level, drawn)
            level = rows[-1] * 100 if self.kind == "walk" else level
            at = START_MS + (np.arange(start, start + _CHUNK) * 1_000) // self.hz
            jittered = at + np.rint(jitters.normal(0.0, 3.0, _CHUNK)).astype(np.int64)
            # Numbers become objects as they are asked for, as those of a batch do that has just come.
            for t, row in zip(jittered.tolist(), rows, strict=True):
                yield t, tuple(row.tolist())
            start += _CHUNK

    def _rows(self, level: NDArray[np.float64], drawn: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.kind == "noise":
            noisy: NDArray[np.float64] = np.rint(level + 300.0 * drawn)
            return np.clip(noisy, 0, 65_535)
        walked: NDArray[np.float64] = np.rint(np.rint(level) + np.cumsum(np.rint(2.2 * drawn), axis=0))
        return walked / 100.0

    def seconds(self) -> Iterator[list[Batch]]:
        """What bridges hand over in each second, without end; boottime is UTC."""
        table = self.table()
        key = dictionary_hash(table)
        shapes = [tuple(range(i * self.tags, (i + 1) * self.tags)) for i in range(self.devices)]
        reads = [self.reads(device) for device in range(self.devices)]
        seq = 0
        while True:
            batches = []
            for device, shape in enumerate(shapes):
                rows = [next(reads[device]) for _ in range(self.hz)]
                for start in range(0, self.hz, BATCH_FRAMES):
                    seq += 1
                    frames = [Frame(t, shape, values) for t, values in rows[start : start + BATCH_FRAMES]]
                    batches.append(_batch(seq, key, frames))
            yield batches


def _batch(seq: int, key: bytes, frames: list[Frame]) -> Batch:
    boot_id = "8b6a4c1e-2f0d-4d57-9a53-0c1d2e3f4a5b"
    return Batch("modbus", 0x1234_5678_9ABC_DEF0, seq, seq, key, boot_id, 0, ClockState.SYNCED, 0, frames)
