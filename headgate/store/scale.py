"""Doubles that are integers / 10^decimals, told exactly: what comes back has the same bits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
MAX_DECIMALS = 15
POWERS = np.array([10.0**d for d in range(MAX_DECIMALS + 1)])
_EXACT = float(1 << 53)
"""Integers below this are doubles."""
_GUESSES = range(7)
_SAMPLE = 16


def scaled(values: F64, powers: F64) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Doubles as integers under powers of ten, broadcast to them, and which of them that tells exactly."""
    with np.errstate(all="ignore"):
        nearest = np.rint(values * powers)
        numbers = nearest.astype(np.int64)  # of -0.0, NaN and what is too large, another double comes back
        back: F64 = numbers / powers
        same = (back.view(np.int64) == values.view(np.int64)) & (np.abs(nearest) < _EXACT)
        return numbers, same


def scaled_rows(values: F64, decimals: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Rows of doubles [row, sample] under each row's decimals, and for which rows that is exact."""
    numbers, same = scaled(values, POWERS[list(decimals)][:, None])
    return numbers, np.logical_and.reduce(same, axis=1)


def guessed(values: F64) -> int | None:
    """The fewest decimals under which all of one row of doubles are integers, among the likely ones."""
    for decimals in _GUESSES:
        if all(scaled(part, POWERS[decimals])[1].all() for part in (values[:_SAMPLE], values)):
            return decimals
    return None


def unscaled(numbers: NDArray[np.int64], powers: F64) -> F64:
    """The doubles of `scaled`."""
    found: F64 = numbers / powers
    return found
