"""Doubles that are integers / 10^decimals, told exactly: what comes back has the same bits."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

F64 = NDArray[np.float64]
MAX_DECIMALS = 15
_EXACT = float(1 << 53)
"""Integers below this are doubles."""
_GUESSES = range(7)
_SAMPLE = 16
_POWERS = np.array([10.0**d for d in range(MAX_DECIMALS + 1)])


def scaled(values: F64, decimals: Sequence[int]) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Rows of doubles [row, sample] as integers under each row's decimals, and for which this is exact."""
    powers = _POWERS[list(decimals)][:, None]
    with np.errstate(all="ignore"):
        nearest = np.rint(values * powers)
        numbers = nearest.astype(np.int64)  # of -0.0, NaN and what is too large, another double comes back
        same = (numbers / powers).view(np.int64) == values.view(np.int64)
        same &= np.abs(nearest) < _EXACT
        return numbers, same.all(axis=1)


def guessed(values: F64) -> int | None:
    """The fewest decimals under which all of one row of doubles are integers, among the likely ones."""
    head = values[None, :_SAMPLE]
    for decimals in _GUESSES:
        if scaled(head, [decimals])[1][0] and scaled(values[None, :], [decimals])[1][0]:
            return decimals
    return None


def unscaled(numbers: NDArray[np.int64], decimals: int) -> F64:
    """The doubles of `scaled`."""
    found: F64 = numbers / _POWERS[decimals]
    return found
