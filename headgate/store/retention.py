"""Keeps the state root below its byte cap, and days no longer than wanted: what goes, in which order.

The order is docs/store.md's, "What goes when it gets full". Everything here runs in the store's thread, a
step of some tens of ms at a time. What is lost is told to the cloud in the transaction that lets it go; files
are removed after it, and again at the next start if that was cut.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from headgate.config.stateroot import StateRoot
from headgate.errors import Reject
from headgate.limited_log import LimitedLog
from headgate.store import shed_reports
from headgate.store.config import StoreConfig
from headgate.store.day_file import DAY_MS, day_path, open_day
from headgate.store.shed_reports import Report
from headgate.store.shed_rows import Leaving
from headgate.store.state import Queued
from headgate.store.store import Store
from headgate.store.thinning import Thinning, day_contents
from headgate.store.transaction import Seal
from headgate.store.usage import Usage, size_of
from headgate.store.windows_file import Gone, day_of, files_in, next_path, open_windows

RESERVE_PART = 16
"""Of the cap, what is kept free ahead of writes: a minute's at least."""
RESERVE_BYTES = (1024**2, 64 * 1024**2)
STEP_BYTES = 1024**2
"""What shedding itself may need for a while: a transaction in a write-ahead log."""
MIN_THINNED_BYTES = 128 * 1024
"""A smaller day file goes as it is: windows of it would take as much."""
VACUUM_PAGES = 48
LOG_BYTES = 256 * 1024
"""A write-ahead log that is larger is emptied when there is no room."""
MAX_REPEATS = 2
"""How often a day is begun anew because samples came for it meanwhile."""
TEMPORARY_S = 3_600
"""A temporary file so old is nobody's."""

log = logging.getLogger(__name__)

Tell = Callable[[str, Mapping[str, object]], tuple[int, Seal]]
"""Of a report's type and fields: its schema and the way to seal it."""


@dataclass(slots=True)
class ShedCounters:
    """Since start. `samples`: dropped without windows; `thinned`: of which windows are left."""

    samples: int = 0
    thinned: int = 0
    envelopes: int = 0
    files: int = 0
    refused: int = 0


@dataclass(slots=True)
class Step:
    """What a step did. `more`: another one is due at once; `told`: reports that are durable; `shed`: rows of
    the outbox that are gone.
    """

    more: bool = False
    told: list[Queued] = field(default_factory=list)
    shed: list[int] = field(default_factory=list)


class Retention:
    """One store's. `seal_blocks` has what is in memory sealed at once. A cap may be set at any time."""

    def __init__(
        self,
        store: Store,
        root: StateRoot,
        tell: Tell,
        config: StoreConfig,
        *,
        seal_blocks: Callable[[], None] = lambda: None,
    ) -> None:
        self.counters = ShedCounters()
        self._store = store
        self._root = root
        self._tell = tell
        self._seal_blocks = seal_blocks
        self._usage = Usage(root.path, hot=(root.journal,))
        self._blocks_end = -1
        self._thinning: Thinning | None = None
        self._repeats = 0
        self._wanted_bytes = 0
        self._utc_ms = 0
        self.used_bytes = 0
        self._why = "byte cap"
        self._complaints = LimitedLog(log)
        self.configure(config)

    def configure(self, config: StoreConfig) -> None:
        """Keep so much from now on."""
        self.config = config
        self.cap_bytes = config.cap_bytes(self._root.path)
        low, high = RESERVE_BYTES
        self.reserve_bytes = min(max(low, self.cap_bytes // RESERVE_PART), high)

    @property
    def thinned_day(self) -> int | None:
        """The day that is becoming windows now; it goes next, whatever else may come."""
        return None if self._thinning is None else self._thinning.day

    def use(self, boot_ms: int) -> dict[str, int]:
        """Bytes by kind, as they lie on the disk."""
        end = self._store.progress.blocks
        if end != self._blocks_end or self._thinning is not None:
            self._usage.forget(self._root.blocks, self._root.windows)
            self._blocks_end = end
        return self._usage.measure(boot_ms)

    def room(self, need_bytes: int, boot_ms: int) -> bool:
        """Whether a write that takes so much at most keeps the cap; room is made for what was refused."""
        if self._used(boot_ms) + need_bytes + STEP_BYTES <= self.cap_bytes:
            self._wanted_bytes = 0
            return True
        self._wanted_bytes = max(self._wanted_bytes, need_bytes)
        return False

    def step(self, utc_ms: int, boot_ms: int, *, trusted: bool = True) -> Step:
        """Do the next thing that is due. Age counts only where the time is `trusted`."""
        self._utc_ms = utc_ms
        missing = self._missing_bytes(boot_ms)
        try:
            if self._thinning is not None:
                return self._thin(boot_ms)
            if missing > 0:
                self._why = "byte cap"
                return self._make_room(boot_ms)
            if trusted:
                self._why = "age"
                return self._expire(utc_ms // DAY_MS, boot_ms)
        except (Reject, OSError, sqlite3.Error) as error:
            self._complaints.warning("retention", "retention: %s; trying again", error)
        return Step()

    def _missing_bytes(self, boot_ms: int) -> int:
        """How much too much there is; some free pages of state.db are as good as room."""
        free_bytes = min(self._store.state.shed.free_bytes(), self.reserve_bytes // 4)
        kept_free = max(self.reserve_bytes, self._wanted_bytes + 2 * STEP_BYTES)
        return self._used(boot_ms) - free_bytes - (self.cap_bytes - kept_free)

    # What goes, in this order.

    def _make_room(self, boot_ms: int) -> Step:
        for way in (
            self._trim_logs,
            self._shrink_state,
            self._free_journal,
            self._drop_temporary,
            self._drop_quarantine,
        ):
            step = way()
            if step is not None:
                return step
        days = self._store.blocks.days()
        if days and self._is_settled(days[0]):
            return self._begin(days[0], boot_ms)
        windows = files_in(self._root.windows)
        if windows:
            return self._drop_windows(windows[min(windows)][0])
        step = self._shed_envelopes()
        if step is None:
            self._complaints.warning(
                "full",
                "the byte cap of %d B is reached and nothing is left to shed: raise store.max_bytes",
                self.cap_bytes,
            )
            return Step()
        return step

    def _trim_logs(self) -> Step | None:
        logs = [self._root.state_db, *(day_path(self._root.blocks, day) for day in self._store.blocks.days())]
        if max(size_of(path.with_name(path.name + "-wal")) for path in logs) <= LOG_BYTES:
            return None
        self._store.trim()
        self._usage.forget(self._root.blocks)
        return Step(more=True)

    def _shrink_state(self) -> Step | None:
        shed = self._store.state.shed
        if shed.free_bytes() <= self.reserve_bytes // 4 or not shed.can_shrink():
            return None
        shed.give_back(VACUUM_PAGES)
        shed.trim()
        return Step(more=True)

    def _free_journal(self) -> Step | None:
        """Samples that are in blocks need no journal: they are sealed early where it is long."""
        if not self._store.unsealed_samples or len(self._store.journal.segments) < 3:
            return None
        self._seal_blocks()
        return Step(more=True) if not self._store.unsealed_samples else None

    def _drop_temporary(self) -> Step | None:
        """What a process left that was killed while it wrote a file; nobody's data."""
        oldest_s = self._utc_ms // 1_000 - TEMPORARY_S
        for path in self._root.spool.rglob(".*.tmp"):
            if path.stat().st_mtime < oldest_s:
                path.unlink(missing_ok=True)
                self._usage.forget(path.parent)
                return Step(more=True)
        return None

    def _drop_quarantine(self) -> Step | None:
        found = sorted((path.stat().st_mtime_ns, path) for path in self._root.quarantine.iterdir())
        files = [path for _, path in found if path.is_file()]
        if not files:
            return None
        self.counters.files += 1
        return self._let_go(
            files[0], [shed_reports.removed(self._name(files[0]), size_of(files[0]), self._why)]
        )

    def _drop_windows(self, path: Path) -> Step:
        try:
            with open_windows(path) as reader:
                gone = reader.gone()
        except Reject as error:
            return self._lost(path, error)
        return self._drop(path, gone)

    def _shed_envelopes(self) -> Step | None:
        envelopes = self._store.state.shed.oldest()
        if not envelopes:
            return None
        step = Step(more=True, shed=[one.row for one in envelopes])
        with self._store.begin() as tx:
            tx.shed(envelopes)
            step.told = self._report(tx.enqueue, shed_reports.tombstones(envelopes, self._why))
        self.counters.envelopes += len(envelopes)
        return step

    # By age.

    def _expire(self, today: int, boot_ms: int) -> Step:
        """A clock that runs ahead must not empty the store: no day is older than it is to the newest one."""
        days, windows = self._store.blocks.days(), files_in(self._root.windows)
        newest = max([*days, *windows], default=today)
        today = min(today, newest)
        keep, keep_windows = self.config.keep_days, self.config.windows_keep_days
        if keep_windows is not None and windows and min(windows) < today - keep_windows:
            return self._drop_windows(windows[min(windows)][0])
        if keep is not None and days and days[0] < today - keep and self._is_settled(days[0]):
            return self._begin(days[0], boot_ms)
        return Step()

    # A day's raw samples.

    def _is_settled(self, day: int) -> bool:
        """Whether state.db knows how far the file goes, or will with its end: else a replay, which asks the
        file after a crash, would take its samples once more.
        """
        try:
            with open_day(day_path(self._root.blocks, day)) as reader:
                through = reader.through()
        except Reject:  # it goes as it is
            return True
        if through > self._store.progress.blocks:
            self._seal_blocks()
        return through <= self._store.progress.blocks

    def _begin(self, day: int, boot_ms: int) -> Step:
        """Windows are made of a day if there is room for them, else its samples just go."""
        path = day_path(self._root.blocks, day)
        try:
            gone = day_contents(self._root.blocks, day)
            if (
                size_of(path) < MIN_THINNED_BYTES
                or self._repeats > MAX_REPEATS
                or not self._has_room(boot_ms)
            ):
                return self._drop(path, gone)
            part = self._root.windows / f"{path.stem}.part"
            self._thinning = Thinning(self._root.blocks, day, part, self.config.step_ms)
        except Reject as error:
            return self._lost(path, error)
        return Step(more=True)

    def _thin(self, boot_ms: int) -> Step:
        assert self._thinning is not None
        thinning = self._thinning
        path = day_path(self._root.blocks, thinning.day)
        try:
            if not self._has_room(boot_ms):
                self._give_up(thinning)
                return self._drop(path, day_contents(self._root.blocks, thinning.day))
            if thinning.slice():
                return Step(more=True)
            if not thinning.is_current():
                self._give_up(thinning)
                self._repeats += 1
                return Step(more=True)
        except Reject as error:
            self._give_up(thinning)
            return self._lost(path, error)
        thinning.writer.finish(thinning.through)
        self._thinning = None
        whole = next_path(self._root.windows, thinning.day)
        file = Leaving(self._name(path), self._name(thinning.writer.path), self._name(whole))
        self.counters.thinned += sum(one.samples for one in thinning.gone)
        return self._let_go(
            path, shed_reports.downsampled(thinning.gone, thinning.writer.step_ms, self._why), file
        )

    def _has_room(self, boot_ms: int) -> bool:
        return self._used(boot_ms) + 2 * STEP_BYTES // 3 <= self.cap_bytes

    def _used(self, boot_ms: int) -> int:
        """What lies there, and what will when the write-ahead logs are taken into their files."""
        self.used_bytes = sum(self.use(boot_ms).values())
        return self.used_bytes + self._store.pending_bytes()

    def _give_up(self, thinning: Thinning) -> None:
        thinning.writer.abandon()
        self._thinning = None

    def _drop(self, path: Path, gone: Sequence[Gone]) -> Step:
        self.counters.samples += sum(one.samples for one in gone)
        return self._let_go(path, shed_reports.dropped(gone, self._why))

    def _lost(self, path: Path, error: Reject) -> Step:
        """What cannot be read cannot be counted."""
        log.error("%s cannot be read, and goes: %s", path, error)
        return self._let_go(
            path, [shed_reports.removed(self._name(path), size_of(path), f"{self._why}: {error}")]
        )

    def _let_go(self, path: Path, reports: Sequence[Report], file: Leaving | None = None) -> Step:
        file = file or Leaving(self._name(path))
        raw = path.parent == self._root.blocks
        with self._store.begin() as tx:
            tx.leave(file, day_of(path.stem) if raw else None)
            told = self._report(tx.enqueue, reports)
        self._repeats = 0
        if raw:
            self._store.blocks.forget(day_of(path.stem))
        self._store.removed([file])
        self._usage.forget(path.parent, self._root.windows)
        log.info("%s: %s removed, %d reports", self._why, file.path, len(reports))
        return Step(more=True, told=told)

    def _report(self, enqueue: Callable[..., Queued], reports: Sequence[Report]) -> list[Queued]:
        told = []
        for type_, fields in reports:
            schema, seal = self._tell(type_, fields)
            told.append(enqueue("reports", schema, seal, 0, live=True, sealed_ms=self._utc_ms))
        return told

    def _name(self, path: Path) -> str:
        return path.relative_to(self._root.path).as_posix()
