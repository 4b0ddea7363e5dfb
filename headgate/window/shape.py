"""Takes in rows of values as they come, for the time when a block of them is worth looking at."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence

import numpy as np

from headgate.model import Quality, Series, Value
from headgate.window.part import Block, Codes

MAX_BYTES = 1 << 20
"""So much of one shape waits at most."""
MAX_ROWS = 4_096
NEVER_MS = 1 << 62

_FORMATS = {"f64": "d", "i64": "q", "u64": "Q", "bool": "q"}
DTYPES = {"d": np.dtype(np.float64), "q": np.dtype(np.int64), "Q": np.dtype(np.uint64)}


def format_of(series: Series) -> str | None:
    """How a value lies in memory, as in `struct`; None for text, of which there are no windows."""
    return _FORMATS.get(series.kind)


class Shape:
    """Rows of one list of series. `add` is the hot path: all else waits until `take`.

    `newest_ms` is the newest time there ever was (-1: none), `oldest_ms` the oldest that waits.
    """

    __slots__ = (
        "_all",
        "_codes",
        "_keep",
        "_most_rows",
        "_pack",
        "_rows",
        "_times",
        "formats",
        "newest_ms",
        "oldest_ms",
    )

    def __init__(self, series: Sequence[Series]) -> None:
        self.formats = [format_of(each) or "" for each in series]
        self._keep = [i for i, form in enumerate(self.formats) if form]
        self._all = len(self._keep) == len(self.formats)
        self._pack = struct.Struct("=" + "".join(self.formats)).pack
        self._most_rows = max(1, min(MAX_ROWS, MAX_BYTES // (8 * max(1, len(self._keep)))))
        self.newest_ms = -1
        self.oldest_ms = NEVER_MS
        self._times = array("q")
        self._rows: list[bytes] = []
        self._codes: dict[int, bytes] = {}

    def __len__(self) -> int:
        """How many rows wait."""
        return len(self._times)

    @property
    def width(self) -> int:
        """Columns of what `take` returns."""
        return len(self._keep)

    def add(self, t_ms: int, values: Sequence[Value], quality: Sequence[int] = ()) -> None:
        """One value for each series, all of one time. An empty `quality` means all good."""
        self._times.append(t_ms)
        if t_ms > self.newest_ms:
            self.newest_ms = t_ms
        if t_ms < self.oldest_ms:
            self.oldest_ms = t_ms
        if not self._all or (quality and any(quality)):
            self._add_slowly(values, quality)
            return
        try:
            self._rows.append(self._pack(*values))
        except struct.error:
            self._add_slowly(values, quality)

    def add_packed(self, times_ms: Sequence[int], rows: Sequence[bytes]) -> None:
        """Rows that lie in memory already, their values one after the other as `formats` says, and all good.

        There is one at least.
        """
        self._times.extend(times_ms)
        self._rows += rows
        self.newest_ms = max(self.newest_ms, *times_ms)
        self.oldest_ms = min(self.oldest_ms, *times_ms)

    @property
    def full(self) -> bool:
        """Whether what waits is worth a look by its mere size."""
        return len(self._times) >= self._most_rows

    def take(self) -> Block:
        """What waits; its values are the 64 bits of each column's own format."""
        count = len(self._times)
        bits = np.frombuffer(b"".join(self._rows), np.uint64).reshape(count, self.width)
        quality: Codes | None = None
        if self._codes:
            quality = np.zeros((count, self.width), np.uint8)
            for row, codes in self._codes.items():
                quality[row] = np.frombuffer(codes, np.uint8)
        block = Block(np.frombuffer(self._times, np.int64), bits, quality)
        self._times, self._rows, self._codes, self.oldest_ms = array("q"), [], {}, NEVER_MS
        return block

    def _add_slowly(self, values: Sequence[Value], quality: Sequence[int]) -> None:
        """A value that is missing, or none that its format holds, is marked and does not count."""
        fields: list[float | int] = []
        codes = bytearray()
        for i in self._keep:
            value, code = values[i], quality[i] if quality else Quality.GOOD
            packed = _fitting(value, self.formats[i])
            fields.append(0 if packed is None else packed)
            codes.append(max(code, Quality.BAD_VALUE) if packed is None else code)
        self._rows.append(self._pack(*fields))
        if any(codes):
            self._codes[len(self._rows) - 1] = bytes(codes)


def _fitting(value: Value, form: str) -> float | int | None:
    if value is None or isinstance(value, str):
        return None
    try:
        struct.pack("=" + form, value)
    except (struct.error, OverflowError):
        return None
    return value
