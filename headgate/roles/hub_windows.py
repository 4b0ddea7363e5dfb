"""The hub's windows: one source for each bridge, its past out of the store, closed when it falls silent."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from headgate.columns import Columns, Rows
from headgate.limited_log import LimitedLog
from headgate.model import Batch, Quality, Series, Window
from headgate.store.doubted import Doubted
from headgate.store.query import Column
from headgate.store.replay import Journaled
from headgate.store.store import Store
from headgate.window.config import WindowsConfig
from headgate.window.source import Source, SourceTuning

log = logging.getLogger(__name__)

MEMORY_BYTES = 8 << 20
"""What samples of all bridges' windows take, at most."""
MIN_SOURCE_BYTES = 1 << 20
REWIND_MS = 24 * 3_600_000
"""Windows that are closed until so long after now get back to now. Nearer ones stay closed, and what comes
corrects them: they may hold samples of the time before the clock was set back.
"""
REWOUND_MS = 3_600_000
"""How much later a sample may be than the closing of windows that it brought about: longer than most are."""


@dataclass(slots=True)
class _Heard:
    source: Source
    boot_ms: int
    late: int = 0


class StoreHistory:
    """What the store holds, for windows that are made again."""

    def __init__(self, store: Store, doubted: Doubted) -> None:
        self._store = store
        self._doubted = doubted
        self._complaints = LimitedLog(log)

    def samples(self, series: Collection[Series], from_ms: int, to_ms: int) -> Iterator[Column]:
        """See `headgate.window.history.History`."""
        wanted = frozenset(series)
        try:
            for column in self._store.query({each.name for each in wanted}, from_ms, to_ms):
                if column.series not in wanted:
                    continue
                found = self._sure(column) if self._doubted.overlaps(from_ms, to_ms) else column
                if found.times_ms:
                    yield found
        except (OSError, sqlite3.Error) as error:  # a damaged day file must not keep the hub from its work
            self._complaints.warning("history", "history of windows from %d on: %s", from_ms, error)

    def _sure(self, column: Column) -> Column:
        """Without what is of uncertain time: it is in no window."""
        rows = [
            i
            for i, (t_ms, code) in enumerate(zip(column.times_ms, column.quality, strict=True))
            if code != Quality.UNCERTAIN or not self._doubted.holds(t_ms)
        ]
        return Column(
            column.series,
            [column.times_ms[i] for i in rows],
            [column.values[i] for i in rows],
            [column.quality[i] for i in rows],
        )


class Windows:
    """Everything here runs in the store's thread."""

    def __init__(self, store: Store, config: WindowsConfig, idle_ms: int) -> None:
        self._store = store
        self.doubted = Doubted(store.state.doubted.all())
        self._history = StoreHistory(store, self.doubted)
        self._config = config
        self._idle_ms = idle_ms
        self._heard: dict[str, _Heard] = {}

    def recover(self, boot_ms: int) -> None:
        """Take up where state.db says; the journal is replayed after this."""
        found: dict[str, dict[int, int]] = {}
        for (bridge, step_ms), until_ms in self._store.state.windows_closed().items():
            found.setdefault(bridge, {})[step_ms] = until_ms
        for bridge, closed_ms in found.items():
            newest_ms = max(closed_ms.values())
            # A step that was in use until now is closed to within itself; others are of former days.
            used = {step: until for step, until in closed_ms.items() if until + step >= newest_ms}
            source = self._source(used, since_ms=newest_ms)
            self._heard[bridge] = _Heard(source, boot_ms)

    def add(
        self,
        item: Journaled,
        groups: Sequence[Columns],
        *,
        fresh: bool,
        boot_ms: int,
    ) -> None:
        """Take in a batch as its columns."""
        batch = item.batch
        heard = self._heard.get(batch.bridge)
        if heard is None:
            heard = self._heard[batch.bridge] = _Heard(self._new_source(batch), boot_ms)
        heard.boot_ms = boot_ms
        source = heard.source
        source.began(item.position, batch.clock, fresh=fresh)
        for columns in groups:
            _add_columns(source, columns)
        source.ended()

    def _new_source(self, batch: Batch) -> Source:
        """Where state.db was lost, windows whose first samples may be missing are not sent: others were."""
        if not self._store.opening.rebuilt:
            return self._source({})
        times = [frame.boot_ms + batch.utc_offset_ms for frame in batch.frames]
        return self._source({}, born_ms=max(times, default=0) + 1)

    def take_late(self) -> dict[str, int]:
        """How many samples of which bridge came, since the last call, when their window was closed."""
        found: dict[str, int] = {}
        for bridge, heard in self._heard.items():
            if late := heard.source.counters.late - heard.late:
                found[bridge] = late
                heard.late += late
        return found

    def take_closed(self, boot_ms: int) -> list[Window]:
        """What closed or was corrected since the last call; all of a bridge that is silent."""
        closed: list[Window] = []
        for heard in self._heard.values():
            if boot_ms - heard.boot_ms >= self._idle_ms:
                heard.source.close_all()
            closed += heard.source.take_closed()
        return closed

    def change(self, config: WindowsConfig) -> list[Window]:
        """Windows of another form from now on; returns those that were open, as they stand."""
        self._config = config
        closed: list[Window] = []
        for heard in self._heard.values():
            heard.source.close_all()
            closed += heard.source.take_closed()
            until = [until_ms for until_ms in heard.source.closed_ms.values() if until_ms is not None]
            newest_ms = max(until, default=0)
            heard.source = self._source({}, since_ms=newest_ms, born_ms=newest_ms)
            heard.late = 0
        return closed

    def rewind(self, utc_ms: int) -> list[Window]:
        """Where a wrong clock closed windows long after now, go on from now; returns those that were open."""
        closed: list[Window] = []
        for bridge, heard in self._heard.items():
            closed_ms = {step: until for step, until in heard.source.closed_ms.items() if until is not None}
            if max(closed_ms.values(), default=0) <= utc_ms + REWIND_MS:
                continue
            log.warning(
                "bridge %s: windows were closed by a clock that was ahead; they go on from now", bridge
            )
            heard.source.close_all()
            closed += heard.source.take_closed()
            now_ms = {step_ms: -(-utc_ms // step_ms) * step_ms for step_ms in closed_ms}
            heard.source = self._source(now_ms, since_ms=utc_ms)
            heard.late = 0
        return closed

    def rewound(self, groups: Sequence[Columns], utc_ms: int | None) -> bool:
        """Whether samples of before a restart are so far ahead that their windows were closed by `rewind`."""
        newest_ms = max(max(columns.times_ms) for columns in groups)
        return utc_ms is not None and newest_ms > utc_ms + REWIND_MS + REWOUND_MS

    def closed_until(self) -> dict[tuple[str, int], int]:
        """Until when windows are closed, by bridge and step."""
        return {
            (bridge, step_ms): until_ms
            for bridge, heard in self._heard.items()
            for step_ms, until_ms in heard.source.closed_ms.items()
            if until_ms is not None
        }

    def oldest_position(self) -> int | None:
        """The journal position from which on a replay brings back every open window."""
        positions = [heard.source.oldest_position for heard in self._heard.values()]
        return min((position for position in positions if position is not None), default=None)

    def _source(self, closed_ms: dict[int, int], *, since_ms: int = 0, born_ms: int = 0) -> Source:
        memory_bytes = max(MIN_SOURCE_BYTES, MEMORY_BYTES // (len(self._heard) + 1))
        tuning = SourceTuning(self._config.lateness_ms, memory_bytes)
        return Source(
            self._config.define, tuning, self._history, closed_ms, since_ms=since_ms, born_ms=born_ms
        )


def _add_columns(source: Source, columns: Columns) -> None:
    shape = source.shape(columns.series, columns.series)
    if isinstance(columns.values, Rows) and not any(columns.quality):
        shape.add_packed(columns.times_ms, columns.values.packed)
        return
    count = len(columns.times_ms)
    quality = [codes or bytes(count) for codes in columns.quality]
    for t_ms, row, codes in zip(
        columns.times_ms, zip(*columns.values, strict=True), zip(*quality, strict=True), strict=True
    ):
        shape.add(t_ms, row, codes)
