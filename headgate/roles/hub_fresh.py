"""Which series look fresh (the last sample of them was not bad), and what says that they are not."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence

from headgate.model import Batch, ClockState, Frame, Quality, Series

MAX_TABLES = 4
"""Of one bridge: its last one, and former ones with series that it does not have."""

Key = tuple[str, bytes]
"""(bridge, its table's content hash)."""
Table = Callable[[bytes], Sequence[Series] | None]


class Fresh:
    """A byte for each series of each bridge's tables, 1 where it looks fresh. `saved`: what `unsaved` gave.

    A series is looked up under its bridge's newest table that has it, so that it stands in one only.
    """

    def __init__(self, saved: Mapping[Key, bytes], table: Table) -> None:
        self._table = table
        self._maps: dict[str, dict[bytes, bytearray]] = {}
        self._saved = dict(saved)
        self._gone: frozenset[tuple[str, str]] = frozenset()
        for (bridge, key), looks in saved.items():
            if len(looks) == len(table(key) or ()):
                self._maps.setdefault(bridge, {})[key] = bytearray(looks)

    def bridges(self) -> list[str]:
        """Those of which something looks fresh."""
        return [bridge for bridge, maps in self._maps.items() if any(1 in looks for looks in maps.values())]

    def add(self, batch: Batch) -> None:
        """Take in a batch that fits its table."""
        looks = self._maps.setdefault(batch.bridge, {}).get(batch.dictionary)
        if looks is None:
            looks = self._begun(batch.bridge, batch.dictionary)
        for frame in batch.frames:
            if frame.quality:
                for i, code in zip(frame.series, frame.quality, strict=True):
                    looks[i] = code < Quality.BAD_COMM
            else:
                for i in frame.series:
                    looks[i] = 1

    def site_changed(self, before: Mapping[str, str], after: Mapping[str, str]) -> None:
        """Devices (name -> bridge) that the site document does not have any more: their end is no fault."""
        self._gone = (self._gone | before.items()) - after.items()
        for bridge in {bridge for _, bridge in self._gone}:
            for key, looks in self._maps.get(bridge, {}).items():
                table = self._table(key) or ()
                for at in _ones(looks):
                    looks[at] = not self._is_gone(bridge, table[at])

    def let_go(self, bridge: str) -> None:
        """The bridge was stopped on purpose: its series ended, and nobody is to wonder why."""
        self._maps.pop(bridge, None)

    def pick(self, bridge: str, limit: int) -> tuple[bytes, list[int]] | None:
        """At most `limit` series of one table that look fresh, from now on no more; None: there are none."""
        for key, looks in self._maps.get(bridge, {}).items():
            table = self._table(key) or ()
            found: list[int] = []
            at = looks.find(1)
            while at >= 0 and len(found) < limit:
                looks[at] = 0
                if not self._is_gone(bridge, table[at]):  # a last sample may come when it is gone already
                    found.append(at)
                at = looks.find(1, at + 1)
            if found:
                return key, found
        return None

    def unsaved(self) -> dict[Key, bytes | None]:
        """What differs from what was saved; None for what looks fresh no more. See `were_saved`."""
        now = {
            (bridge, key): bytes(looks)
            for bridge, maps in self._maps.items()
            for key, looks in maps.items()
            if 1 in looks
        }
        found: dict[Key, bytes | None] = {k: looks for k, looks in now.items() if self._saved.get(k) != looks}
        return found | dict.fromkeys(self._saved.keys() - now.keys())

    def were_saved(self, rows: Mapping[Key, bytes | None]) -> None:
        """These are durable."""
        for key, looks in rows.items():
            if looks is None:
                self._saved.pop(key, None)
            else:
                self._saved[key] = looks

    def _is_gone(self, bridge: str, series: Series) -> bool:
        return (series.name.partition("/")[0], bridge) in self._gone

    def _begun(self, bridge: str, key: bytes) -> bytearray:
        """A table new to the bridge takes over the series that it shares with former ones."""
        maps = self._maps[bridge]
        table = self._table(key) or ()
        looks = bytearray(len(table))
        places = {series.name: i for i, series in enumerate(table)} if maps else {}
        for former_key, former in list(maps.items()):
            names = self._table(former_key) or ()
            for i in _ones(former):
                place = places.get(names[i].name)
                if place is not None:
                    looks[place], former[i] = 1, 0
            if 1 not in former:
                del maps[former_key]
        while len(maps) >= MAX_TABLES:
            del maps[next(iter(maps))]
        maps[key] = looks
        return looks


def mark_of(
    bridge: str,
    run_id: int,
    seq: int,
    dictionary: bytes,
    series: Collection[int],
    table: Sequence[Series],
    *,
    boot_ms: int,
    utc_ms: int,
    clock: ClockState,
    boot: str = "",
) -> Batch:
    """One sample without a value and of quality bad_comm for each series, a frame for each device."""
    devices: dict[str, list[int]] = {}
    for i in series:
        devices.setdefault(table[i].name.partition("/")[0], []).append(i)
    frames = [
        Frame(boot_ms, found, (None,) * len(found), (Quality.BAD_COMM,) * len(found))
        for found in devices.values()
    ]
    return Batch(bridge, run_id, seq, 1, dictionary, boot, utc_ms - boot_ms, clock, 0, frames)


def _ones(looks: bytearray) -> Iterator[int]:
    at = looks.find(1)
    while at >= 0:
        yield at
        at = looks.find(1, at + 1)
