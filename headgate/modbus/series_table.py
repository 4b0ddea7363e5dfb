"""The series that batches refer to: a device's name and a tag each, and a Series while it is looked at.

Fifty thousand Series with their names take 8 MB; the tags are there anyway.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import overload

from headgate.modbus.tags import Tag
from headgate.model import Kind, Series

_Key = tuple[str, str, Kind, int | None]


class SeriesTable(Sequence[Series]):
    """Only ever grows: an index means one series for good."""

    def __init__(self) -> None:
        self._devices: list[str] = []
        self._tags: list[Tag] = []
        self._runs: dict[str, list[range]] = {}

    def __len__(self) -> int:
        return len(self._tags)

    @overload
    def __getitem__(self, at: int) -> Series: ...
    @overload
    def __getitem__(self, at: slice) -> list[Series]: ...
    def __getitem__(self, at: int | slice) -> Series | list[Series]:
        if isinstance(at, slice):
            return [self[i] for i in range(*at.indices(len(self)))]
        return series_of(self._devices[at], self._tags[at])

    def of(self, device: str) -> Callable[[Tag], int]:
        """Where a device's tags have their series; a tag that has none gets one."""
        known = {_key(self._tags[i]): i for run in self._runs.get(device, ()) for i in run}

        def index_of(tag: Tag) -> int:
            key = _key(tag)
            index = known.get(key)
            if index is None:
                index = known[key] = self._append(device, tag)
            return index

        return index_of

    def _append(self, device: str, tag: Tag) -> int:
        index = len(self._tags)
        self._devices.append(device)
        self._tags.append(tag)
        runs = self._runs.setdefault(device, [])
        if runs and runs[-1].stop == index:
            runs[-1] = range(runs[-1].start, index + 1)
        else:
            runs.append(range(index, index + 1))
        return index


def series_of(device: str, tag: Tag) -> Series:
    """The series that a tag of a device feeds."""
    return Series(f"{device}/{tag.name}", tag.unit, tag.form.kind, tag.form.decimals)


def _key(tag: Tag) -> _Key:
    return tag.name, tag.unit, tag.form.kind, tag.form.decimals
