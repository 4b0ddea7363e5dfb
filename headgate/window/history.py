"""What windows need to know of the past when it is not in memory any more."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Sequence
from typing import Protocol

import numpy as np

from headgate.model import Quality, Series, Value
from headgate.window.part import Block
from headgate.window.shape import DTYPES, Shape, format_of


class Samples(Protocol):
    """Samples of one series, by time (of equal times: as acquired)."""

    @property
    def series(self) -> Series: ...
    @property
    def times_ms(self) -> Sequence[int]: ...
    @property
    def values(self) -> Sequence[Value]: ...
    @property
    def quality(self) -> Sequence[int]: ...


class History(Protocol):
    """Everything there ever was, also what was told a moment ago; the store, or a list in tests."""

    def samples(self, series: Collection[Series], from_ms: int, to_ms: int) -> Iterable[Samples]:
        """Those with from_ms <= t < to_ms. Of one series what is older comes first."""


def block_of(samples: Samples) -> Block:
    """A block of one column. There is one sample at least."""
    form = format_of(samples.series) or "d"
    if not any(samples.quality):
        try:
            bits = struct.pack(f"={len(samples.values)}{form}", *samples.values)
        except struct.error:  # a value is missing
            pass
        else:
            values = np.frombuffer(bits, DTYPES[form]).reshape(-1, 1)
            return Block(np.array(samples.times_ms, np.int64), values)
    shape = Shape((samples.series,))
    for t_ms, value, quality in zip(samples.times_ms, samples.values, samples.quality, strict=True):
        shape.add(t_ms, (value,), (quality or Quality.GOOD,))
    block = shape.take()
    return Block(block.times_ms, block.values.view(DTYPES[form]), block.quality)
