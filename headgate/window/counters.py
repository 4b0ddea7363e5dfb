"""By how much a counter went up between two readings, when it may wrap or start again."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def increases(before: NDArray[Any], after: NDArray[Any], wrap: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The steps from each reading to the next one, and which of them were resets.

    A counter that went down has wrapped when that explains a step of at most half of `wrap` (0: it never
    wraps); else it was reset, and its reading is what it has counted since then. Steps of doubles are
    doubles, of integers uint64.
    """
    down = after < before
    if before.dtype == np.float64:
        steps = after - before
        if down.any():
            around = steps + wrap
            wrapped = down & (wrap > 0) & (around >= 0) & (around <= wrap / 2)
            reset = down & ~wrapped
            steps = np.where(wrapped, around, np.where(reset, np.maximum(after, 0.0), steps))
            return steps, reset
        return steps, down
    # Modulo 2^64, which is exact for any two readings of which the later one is not smaller.
    ahead = after.astype(np.uint64) - before.astype(np.uint64)
    if not down.any():
        return ahead, down
    behind = np.where(down, -ahead, np.uint64(0))
    wrapped = down & (behind <= np.uint64(min(wrap, (1 << 64) - 1))) & (behind >= np.uint64(wrap - wrap // 2))
    if wrap == 0:
        wrapped = np.zeros_like(down)
    around = np.uint64(wrap % (1 << 64)) - behind
    reset = down & ~wrapped
    zero = after.dtype.type(0)
    since = np.maximum(after, zero).astype(np.uint64)
    return np.where(wrapped, around, np.where(reset, since, ahead)), reset
