"""Which UTC a batch's samples have: by its own clock, by its boot once that is known, or an uncertain one.

A boot is the time from one start of the machine to the next: within it UTC is boottime plus an offset, which
each batch brings and which is worth what the batch's clock was. docs/time.md says what follows from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from headgate.clock import UTC_PLAUSIBLE_MS
from headgate.columns import MAX_UTC_MS
from headgate.model import Batch, ClockState, Frame, Quality

KEPT_BOOTS = 16
"""Boots that are remembered: but for the present one, all they are good for is the order of time."""


@dataclass(frozen=True, slots=True)
class TimeTuning:
    """`unsynced_ms`: how long a boot's batches wait for an offset. `step_ms`: a change of the offset that is
    told. `ahead_ms`: how far ahead of the gateway's synchronised clock a sample may be.
    """

    unsynced_ms: int = 24 * 3_600_000
    step_ms: int = 1_000
    ahead_ms: int = 60_000


@dataclass(frozen=True, slots=True)
class Reading:
    """What the machine's clocks say at one moment, and in which boot that is."""

    boot: str
    boot_ms: int
    utc_ms: int
    clock: ClockState

    @property
    def offset_ms(self) -> int:
        """UTC minus boottime."""
        return self.utc_ms - self.boot_ms


@dataclass(frozen=True, slots=True)
class Boot:
    """UTC minus boottime in a boot, and what it is worth (UNSYNCED: settled on, as nothing better came);
    `boot_ms` is the newest boottime that is known of it.
    """

    offset_ms: int
    clock: ClockState
    boot_ms: int

    @property
    def end_ms(self) -> int:
        """UTC of the newest that is known of it."""
        return self.boot_ms + self.offset_ms


@dataclass(frozen=True, slots=True)
class Step:
    """The clock was set, within a boot, at a time that the new offset tells."""

    from_offset_ms: int
    to_offset_ms: int
    at_ms: int


@dataclass(frozen=True, slots=True)
class Settled:
    """The UTC (from, to) of a boot's batches that waited; `why` they stay uncertain, or empty."""

    boot: str
    known: Boot
    from_ms: int
    to_ms: int
    batches: int
    why: str = ""


@dataclass(slots=True)
class _Waiting:
    """Of one boot; `runs`: by (bridge, run_id), the first and the last seq that wait.

    `offset_ms`: that of the newest batch, by its own clock; `settled`: it was decided which one holds.
    """

    position: int
    first_ms: int
    newest_ms: int
    offset_ms: int
    settled: bool
    runs: dict[tuple[str, int], tuple[int, int]] = field(default_factory=dict)


class Timeline:
    """What is known of the machine's boots, and which batches wait. `boots`: as `unsaved` gave them."""

    def __init__(self, boots: Mapping[str, Boot] | None = None, tuning: TimeTuning | None = None) -> None:
        self._tuning = tuning or TimeTuning()
        self._boots = dict(boots or {})
        self._saved = dict(self._boots)
        self._waiting: dict[str, _Waiting] = {}

    # The gateway's own clock.

    def observe(self, now: Reading) -> Step | None:
        """Note what the clock says. A step of a clock that was believed, and still is, is returned."""
        if now.clock is ClockState.SYNCED:
            for boot, known in self._boots.items():  # whatever was later than now never was
                if boot != now.boot and known.end_ms > now.utc_ms + self._tuning.ahead_ms:
                    self._boots[boot] = replace(known, offset_ms=now.utc_ms - known.boot_ms)
        before = self._boots.get(now.boot)
        if now.boot in self._waiting:  # what waits gets one offset, as settled
            return None
        if now.clock is ClockState.UNSYNCED:
            if before is not None and before.clock is ClockState.UNSYNCED:
                self._learn(now.boot, replace(before, boot_ms=now.boot_ms))
            return None
        self._learn(now.boot, Boot(now.offset_ms, now.clock, now.boot_ms))
        if before is None or before.clock is ClockState.UNSYNCED:
            return None
        if abs(now.offset_ms - before.offset_ms) <= self._tuning.step_ms:
            return None
        return Step(before.offset_ms, now.offset_ms, now.utc_ms)

    # Batches.

    def waits(self, batch: Batch) -> bool:
        """Whether a batch that came has to wait: for its boot's offset, or for older ones that do."""
        boot = boot_of(batch)
        if boot in self._waiting:
            return True
        if batch.clock is ClockState.UNSYNCED:
            return boot not in self._boots
        self._learn_from(batch)
        return False

    def wait(self, batch: Batch, position: int) -> None:
        """A batch waits, at that place of the journal."""
        boot, run = boot_of(batch), (batch.bridge, batch.run_id)
        times = [frame.boot_ms for frame in batch.frames]
        waiting = self._waiting.get(boot)
        if waiting is None:
            first_ms, newest_ms = min(times, default=0), max(times, default=0)
            settled = boot in self._saved  # before a restart, that is: else it would not wait
            offset_ms = batch.utc_offset_ms
            waiting = self._waiting[boot] = _Waiting(position, first_ms, newest_ms, offset_ms, settled)
        waiting.first_ms = min([waiting.first_ms, *times])
        waiting.newest_ms = max([waiting.newest_ms, *times])
        waiting.offset_ms = batch.utc_offset_ms
        first, _ = waiting.runs.get(run, (batch.seq, 0))
        waiting.runs[run] = (first, batch.seq)
        if boot not in self._boots:
            self._learn_from(batch)

    def came(self, batch: Batch) -> None:
        """The batch is in the journal with its UTC; if it waited, it does no more."""
        boot, run = boot_of(batch), (batch.bridge, batch.run_id)
        waiting = self._waiting.get(boot)
        if waiting is None or run not in waiting.runs:
            return
        first, last = waiting.runs[run]
        if batch.seq >= last:
            del waiting.runs[run]
            if not waiting.runs:
                del self._waiting[boot]
        elif batch.seq >= first:
            waiting.runs[run] = (batch.seq + 1, last)

    def is_waiting(self, batch: Batch) -> bool:
        """Whether this one waits still."""
        waiting = self._waiting.get(boot_of(batch))
        first, last = waiting.runs.get((batch.bridge, batch.run_id), (1, 0)) if waiting else (1, 0)
        return first <= batch.seq <= last

    def settle(self, now: Reading | None) -> list[Settled]:
        """Decide on the offsets of boots whose batches wait, where that can be done; oldest boot first."""
        found = []
        for boot, waiting in self._waiting.items():
            if waiting.settled:
                continue
            known, why = self._boots.get(boot), ""
            if known is None and now is not None:
                known, why = self._judged(boot, waiting, now)
            if known is not None:
                waiting.settled = True
                self._learn(boot, known)
                batches = sum(last - first + 1 for first, last in waiting.runs.values())
                from_ms, to_ms = waiting.first_ms + known.offset_ms, waiting.newest_ms + known.offset_ms
                found.append(Settled(boot, known, from_ms, to_ms, batches, why))
        return found

    def ready(self) -> list[tuple[str, int]]:
        """The boots of which batches wait no more, each with the place in the journal to look from."""
        return [(boot, waiting.position) for boot, waiting in self._waiting.items() if waiting.settled]

    def looked(self, boot: str, position: int) -> None:
        """Nothing of that boot waits before this place of the journal."""
        waiting = self._waiting.get(boot)
        if waiting is not None:
            waiting.position = max(waiting.position, position)

    @property
    def oldest_position(self) -> int | None:
        """The place in the journal of the oldest batch that waits."""
        return min((waiting.position for waiting in self._waiting.values()), default=None)

    @property
    def batches(self) -> int:
        """How many wait."""
        runs = (run for waiting in self._waiting.values() for run in waiting.runs.values())
        return sum(last - first + 1 for first, last in runs)

    def placed(self, batch: Batch, now: Reading | None) -> tuple[Batch, bool]:
        """The batch with its UTC for good, and whether that is uncertain although its own clock was sure."""
        boot = boot_of(batch)
        known = self._boots.get(boot)
        if not batch.frames:
            return batch, False
        if batch.clock is ClockState.UNSYNCED:
            if known is None:
                return batch, False
            if known.clock is ClockState.UNSYNCED:
                return _uncertain(batch, known.offset_ms), False
            return replace(batch, utc_offset_ms=known.offset_ms, clock=known.clock), False
        if now is None or not self._is_ahead(batch, now):
            return batch, False
        if boot == now.boot and now.clock is not ClockState.UNSYNCED:
            return _uncertain(batch, now.offset_ms), True
        if known is not None and not self._is_ahead(replace(batch, utc_offset_ms=known.offset_ms), now):
            return _uncertain(batch, known.offset_ms), True
        newest_ms = max(frame.boot_ms for frame in batch.frames)
        end_ms = self._floor_ms(boot) if now.clock is ClockState.UNSYNCED else now.utc_ms
        return _uncertain(batch, end_ms - newest_ms), True

    # What is to be kept.

    def unsaved(self) -> dict[str, Boot]:
        """What was learnt since `saved`."""
        return {boot: known for boot, known in self._boots.items() if self._saved.get(boot) != known}

    def were_saved(self, rows: Mapping[str, Boot]) -> None:
        """These are durable."""
        self._saved = {boot: known for boot, known in {**self._saved, **rows}.items() if boot in self._boots}

    # Decisions.

    def _judged(self, boot: str, waiting: _Waiting, now: Reading) -> tuple[Boot | None, str]:
        """What a boot's batches get that wait; None: let them wait. The text says why it is uncertain."""
        age_ms = now.boot_ms - waiting.first_ms
        if boot == now.boot:
            if now.clock is not ClockState.UNSYNCED:
                return Boot(now.offset_ms, now.clock, now.boot_ms), ""
            restarted = False
        else:
            restarted = not _is_of_run(boot) or age_ms < 0
        if restarted:
            why = "the machine was restarted before its clock was set"
        elif age_ms >= self._tuning.unsynced_ms:
            why = f"the clock was not set within {self._tuning.unsynced_ms // 1000} s"
        else:
            return None, ""
        believed_ms = now.offset_ms if boot == now.boot else waiting.offset_ms
        return Boot(
            self._bounded(boot, waiting, believed_ms, now), ClockState.UNSYNCED, waiting.newest_ms
        ), why

    def _bounded(self, boot: str, waiting: _Waiting, believed_ms: int, now: Reading) -> int:
        """The offset by the boot's own clock, where that is possible: behind what came before it, and before
        what came after it.
        """
        floor_ms = self._floor_ms(boot)
        offset_ms = believed_ms
        if waiting.first_ms + offset_ms < floor_ms or waiting.newest_ms + offset_ms > MAX_UTC_MS:
            offset_ms = floor_ms - waiting.first_ms
        if boot != now.boot and now.clock is not ClockState.UNSYNCED:
            offset_ms = min(offset_ms, now.offset_ms - waiting.newest_ms)
        return offset_ms

    def _floor_ms(self, boot: str) -> int:
        """The newest UTC that is known of other boots."""
        ends = [known.end_ms for other, known in self._boots.items() if other != boot]
        return max([UTC_PLAUSIBLE_MS, *ends])

    def _is_ahead(self, batch: Batch, now: Reading) -> bool:
        times = [frame.boot_ms for frame in batch.frames]
        limit_ms = MAX_UTC_MS
        if now.clock is ClockState.SYNCED:
            limit_ms = min(limit_ms, now.utc_ms + self._tuning.ahead_ms)
        return max(times) + batch.utc_offset_ms > limit_ms or min(times) + batch.utc_offset_ms < 0

    def _learn_from(self, batch: Batch) -> None:
        boot = boot_of(batch)
        known = self._boots.get(boot)
        if batch.clock is ClockState.UNSYNCED or not batch.frames:
            return
        if known is None or known.clock is ClockState.UNSYNCED:
            learnt = Boot(batch.utc_offset_ms, batch.clock, max(frame.boot_ms for frame in batch.frames))
            if UTC_PLAUSIBLE_MS <= learnt.end_ms <= MAX_UTC_MS:
                self._learn(boot, learnt)

    def _learn(self, boot: str, known: Boot) -> None:
        self._boots.pop(boot, None)
        self._boots[boot] = known
        for other in list(self._boots)[:-KEPT_BOOTS]:
            if other not in self._waiting:
                del self._boots[other]


def boot_of(batch: Batch) -> str:
    """The boot that a batch is of; where the machine names none, a run of a bridge counts as one."""
    return batch.machine_boot_id or f"{batch.bridge}/{batch.run_id:016x}"


def _is_of_run(boot: str) -> bool:
    return "/" in boot


def _uncertain(batch: Batch, offset_ms: int) -> Batch:
    return replace(
        batch,
        utc_offset_ms=offset_ms,
        clock=ClockState.UNSYNCED,
        frames=[frame._replace(quality=_doubted(frame)) for frame in batch.frames],
    )


def _doubted(frame: Frame) -> Sequence[int]:
    """Nothing of a frame is good whose time is not known."""
    given: Iterable[int] = frame.quality or [Quality.GOOD] * len(frame.series)
    return tuple(Quality.UNCERTAIN if code == Quality.GOOD else code for code in given)
