"""Packs raw samples: columns over shared times, greedily, each text made once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence

from headgate.columns import Columns, merged, picked, sliced
from headgate.envelope import numbers
from headgate.envelope.header import COLUMNS, Part
from headgate.errors import Reject
from headgate.model import ClockState, Series

MAX_ROWS = 200
"""Times that one column holds at most: longer ones crowd out the columns that could share them."""

_FRAME_BYTES = len('"times":[],"sets":[],"columns":{}}')
_INDEX_BYTES = 12  # a column's index into sets, a set's into times, up to 999, and the commas behind both


def pack_samples(groups: Iterable[Columns], clock: ClockState, room_bytes: int) -> list[Part]:
    """Every sample exactly once, in parts of at most `room_bytes`; each column's samples in their order.

    Raises Reject when a single sample does not fit, which `headgate.columns` and dictionaries rule out.
    """
    packer = _Packer(clock, room_bytes)
    for columns in _told_apart(merged(groups)):
        for start in range(0, len(columns.times_ms), MAX_ROWS):
            packer.add(sliced(columns, start, start + MAX_ROWS))
    return packer.finish()


class _Packer:
    """Fills one part after the other. A series' name stands only once in a part."""

    def __init__(self, clock: ClockState, room_bytes: int) -> None:
        self._clock = clock
        self._room_bytes = room_bytes
        self._parts: list[Part] = []
        self._prefixes: dict[tuple[Series, int | None], str] = {}
        self._clear()

    def add(self, columns: Columns) -> None:
        times = numbers.differences(list(columns.times_ms))
        quality = columns.quality
        for i, series in enumerate(columns.series):
            text = self._text(series, columns, i)
            if self._fits(series, times, text) or self._fits_fresh(series, times, text):
                self._put(series, times, text, len(columns.times_ms))
                continue
            if len(columns.times_ms) == 1:
                raise Reject(f"a sample of {series.name} does not fit into {self._room_bytes} B")
            alone = Columns((series,), columns.times_ms, (columns.values[i],), (quality[i],))
            middle = len(columns.times_ms) // 2
            self.add(sliced(alone, 0, middle))
            self.add(sliced(alone, middle, len(columns.times_ms)))

    def finish(self) -> list[Part]:
        self._flush()
        return self._parts

    def _fits(self, series: Series, times: str, text: tuple[str, str]) -> bool:
        size = len(series.name) + len(text[1]) + _INDEX_BYTES
        if times not in self._times or (text[0], self._times[times]) not in self._sets:
            size += len(text[0])
        if times not in self._times:
            size += len(times) + 1
        return series.name not in self._names and self._size_bytes + size <= self._room_bytes

    def _fits_fresh(self, series: Series, times: str, text: tuple[str, str]) -> bool:
        """Whether it fits into the next part; the current one is finished then."""
        size = len(text[0]) + len(series.name) + len(text[1]) + _INDEX_BYTES + len(times) + 1
        if _FRAME_BYTES + size > self._room_bytes:
            return False
        self._flush()
        return True

    def _put(self, series: Series, times: str, text: tuple[str, str], samples: int) -> None:
        if times not in self._times:
            self._times[times] = len(self._times)
            self._size_bytes += len(times) + 1
        key = text[0], self._times[times]
        if key not in self._sets:
            self._sets[key] = len(self._sets)
            self._size_bytes += len(text[0])
        self._size_bytes += len(series.name) + len(text[1]) + _INDEX_BYTES
        self._names.add(series.name)
        self._texts.append(f'"{series.name}":{{"s":{self._sets[key]}{text[1]}')
        self._samples += samples

    def _text(self, series: Series, columns: Columns, i: int) -> tuple[str, str]:
        """The JSON of a column's set up to its index into times, and of the column behind that into sets."""
        values, quality = columns.values[i], columns.quality[i]
        decimals, v = numbers.column(series, values)
        key = (series, decimals)
        prefix = self._prefixes.get(key)
        if prefix is None:
            d = "null" if decimals is None else str(decimals)
            prefix = self._prefixes[key] = (
                f'[{json.dumps(series.unit)},"{series.kind}",{d},{series.revision},'
            )
        last = numbers.newest(columns.times_ms, values)
        rest = f',"v":{v}' if last is None else f',"last":{numbers.plain(last)},"v":{v}'
        if quality is not None and any(quality):
            rest += f',"q":{numbers.runs(quality)}'
        return prefix, rest + "}"

    def _clear(self) -> None:
        self._times: dict[str, int] = {}
        self._sets: dict[tuple[str, int], int] = {}
        self._names: set[str] = set()
        self._texts: list[str] = []
        self._samples = 0
        self._size_bytes = _FRAME_BYTES

    def _flush(self) -> None:
        if self._texts:
            sets = ",".join(f"{text}{at}]" for text, at in self._sets)
            times = ",".join(self._times)
            text = f'"times":[{times}],"sets":[{sets}],"columns":{{{",".join(self._texts)}}}}}'
            self._parts.append(Part("samples", self._clock, text, self._samples, COLUMNS))
        self._clear()


def _told_apart(groups: Sequence[Columns]) -> Iterator[Columns]:
    """Series that stand in several groups get a group of their own, their samples by time."""
    seen: dict[Series, int] = {}
    for columns in groups:
        for series in columns.series:
            seen[series] = seen.get(series, 0) + 1
    shared: dict[Series, list[Columns]] = {}
    for columns in groups:
        own = []
        for i, series in enumerate(columns.series):
            if seen[series] == 1:
                own.append(i)
            else:
                one = Columns((series,), columns.times_ms, (columns.values[i],), (columns.quality[i],))
                shared.setdefault(series, []).append(one)
        if own:
            yield Columns(
                tuple(columns.series[i] for i in own),
                columns.times_ms,
                [columns.values[i] for i in own],
                [columns.quality[i] for i in own],
            )
    for parts in shared.values():
        (whole,) = merged(parts)
        yield picked(whole, sorted(range(len(whole.times_ms)), key=whole.times_ms.__getitem__))
