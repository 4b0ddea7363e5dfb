"""The hub's local topics: newest values, windows and events for other components, once they are durable."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from headgate import columns as columns_of
from headgate.bus.api import Bus
from headgate.clock import Clock
from headgate.config.pattern import Pattern
from headgate.errors import Reject, Retry
from headgate.limited_log import LimitedLog
from headgate.local import messages
from headgate.local.config import LocalConfig
from headgate.local.messages import Message, Sample
from headgate.model import AlarmEvent, Batch, ClockState, Frame, Series, Window
from headgate.roles.hub_pipeline import Arrived
from headgate.sleeper import Sleeper

MAX_SHAPES = 4_096
"""Groups of series whose newest frame is kept; beyond it the first goes."""
MAX_WAITING = 2_000
"""Messages of windows and alarms that wait to be published; beyond it the oldest are dropped."""
WHOLE_MS = 60_000
"""So often every value that is known is published, for those who came later."""

log = logging.getLogger(__name__)

Table = Callable[[bytes], tuple[Series, ...] | None]
Shape = tuple[str, bytes, tuple[int, ...]]
"""(bridge, its table's content hash, indexes into it)."""


@dataclass(slots=True)
class LocalCounters:
    """Messages since start. `dropped`: no room to wait; `failed`: the nucleus did not take them."""

    published: int = 0
    dropped: int = 0
    failed: int = 0


@dataclass(frozen=True, slots=True)
class _Newest:
    t_ms: int
    utc_offset_ms: int
    clock: ClockState
    frame: Frame


class LocalTopics:
    """Costs nothing unless configured. Nobody waits for it: what is late is replaced or dropped."""

    def __init__(self, bus: Bus, clock: Clock, table: Table) -> None:
        self.counters = LocalCounters()
        self._bus = bus
        self._clock = clock
        self._table = table
        self._config = LocalConfig()
        self._newest: dict[Shape, _Newest] = {}
        self._dirty: set[Shape] = set()
        self._wanted: dict[str, bool] = {}
        self._waiting: deque[Message] = deque(maxlen=MAX_WAITING)
        self._live_due_ms = 0
        self._whole_due_ms = 0
        self._sleeper = Sleeper(clock)
        self._news = False
        self._complaints = LimitedLog(log)

    def configured(self, config: LocalConfig) -> None:
        """Go over to a configuration; what is known of former devices is forgotten."""
        self._config = config
        self._newest, self._wanted = {}, {}
        self._dirty.clear()

    def committed(self, arrived: Arrived) -> None:
        """These batches are durable. A frame costs a look-up here, whatever the number of its values."""
        if not self._config.live:
            return
        for batch, _ in arrived.batches:
            for frame in batch.frames:
                self._take(batch, frame)
        self._wake()

    def told(self, closed: Sequence[Window], events: Sequence[AlarmEvent]) -> None:
        """These are durable. Called in the store's thread; `sealed` follows on the loop."""
        config = self._config
        found = [messages.alarm(event) for event in events] if config.alarms else []
        if config.windows:
            found += messages.windows(closed, lambda name: _any(config.windows, name))
        self.counters.dropped += max(0, len(self._waiting) + len(found) - MAX_WAITING)
        self._waiting.extend(found)

    def sealed(self) -> None:
        """What was told may be published."""
        if self._waiting:
            self._wake()

    async def run(self) -> None:
        """Publish until cancelled."""
        while True:
            self._news = False
            while self._waiting:
                await self._publish(self._waiting.popleft())
            now_ms = self._clock.boot_ms()
            if self._dirty and now_ms >= self._live_due_ms:
                self._live_due_ms = now_ms + self._config.interval_ms
                for message in messages.live(self._samples(now_ms)):
                    await self._publish(message)
            if not self._news:
                wait_ms = self._live_due_ms - now_ms if self._dirty else WHOLE_MS
                await self._sleeper.until(now_ms + max(1, wait_ms))

    def status(self) -> str:
        """For the log."""
        counted = self.counters
        return f"local published {counted.published}, dropped {counted.dropped}, failed {counted.failed}"

    async def _publish(self, message: Message) -> None:
        """At most once: who is away has missed it."""
        try:
            await self._bus.publish(*message)
            self.counters.published += 1
        except (Retry, Reject) as error:
            self.counters.failed += 1
            self._complaints.warning("publish", "local topic %s: %s", message[0], error)

    def _take(self, batch: Batch, frame: Frame) -> None:
        shape = (batch.bridge, batch.dictionary, tuple(frame.series))
        t_ms = frame.boot_ms + batch.utc_offset_ms
        known = self._newest.get(shape)
        if known is None and len(self._newest) >= MAX_SHAPES:
            oldest = next(iter(self._newest))
            del self._newest[oldest]
            self._dirty.discard(oldest)
        if known is None or t_ms >= known.t_ms:
            self._newest[shape] = _Newest(t_ms, batch.utc_offset_ms, batch.clock, frame)
            self._dirty.add(shape)

    def _samples(self, now_ms: int) -> list[Sample]:
        """The newest of each series of which there is news; now and then of each that is known."""
        shapes = self._dirty
        if now_ms >= self._whole_due_ms:
            self._whole_due_ms = now_ms + WHOLE_MS
            shapes = set(self._newest)
        self._dirty = set()
        found: dict[str, Sample] = {}
        for shape in shapes:
            for sample in self._of(shape, self._newest[shape]):
                known = found.get(sample.series.name)
                if known is None or sample.t_ms >= known.t_ms:
                    found[sample.series.name] = sample
        return [found[name] for name in sorted(found)]

    def _of(self, shape: Shape, newest: _Newest) -> list[Sample]:
        bridge, dictionary, _ = shape
        batch = Batch(bridge, 0, 0, 0, dictionary, "", newest.utc_offset_ms, newest.clock, 0, [newest.frame])
        try:
            groups, _ = columns_of.from_batch(batch, self._table(dictionary) or ())
        except Reject:  # the data path has said so
            return []
        return [
            Sample(series, newest.t_ms, columns.values[i][0], (columns.quality[i] or b"\0")[0], newest.clock)
            for columns in groups
            for i, series in enumerate(columns.series)
            if self._is_wanted(series.name)
        ]

    def _is_wanted(self, name: str) -> bool:
        found = self._wanted.get(name)
        if found is None:
            found = self._wanted[name] = _any(self._config.live, name)
        return found

    def _wake(self) -> None:
        self._news = True
        self._sleeper.wake()


def _any(patterns: Sequence[Pattern], name: str) -> bool:
    return any(pattern.matches(name) for pattern in patterns)
