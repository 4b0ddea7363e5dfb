"""Says of a device that is not heard for too long that its values are stale, and later that it is gone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from headgate.ble.config import Device
from headgate.clock import Clock
from headgate.driver import Emit
from headgate.model import Frame, Quality
from headgate.sleeper import Sleeper

IDLE_MS = 3_600_000


class Silence:
    """How long one device has been silent, and what was said of it. `places`: its series in the table."""

    __slots__ = ("_places", "device", "mark", "since_ms")

    def __init__(self, device: Device, places: Sequence[int], boot_ms: int) -> None:
        self.device = device
        self.since_ms = boot_ms
        self.mark = Quality.GOOD
        self._places = tuple(places)

    def heard(self, boot_ms: int) -> bool:
        """It was heard; whether that is news, so that every value is to be reported again."""
        self.since_ms = boot_ms
        if self.mark is Quality.GOOD:
            return False
        self.mark = Quality.GOOD
        return True

    @property
    def due_ms(self) -> int | None:
        """When the next mark is due; None where there is none to come."""
        if self.mark is Quality.BAD_COMM:
            return None
        patience = self.device.patience
        return self.since_ms + (patience.stale_ms if self.mark is Quality.GOOD else patience.gone_ms)

    def marked(self, now_ms: int, mark: Quality) -> Frame:
        """Its series without values."""
        self.mark = mark
        size = len(self._places)
        return Frame(now_ms, self._places, (None,) * size, (int(self.mark),) * size)


class Staleness:
    """Watches over what `silences` gives, whenever it is asked. `counted`: devices that became stale."""

    def __init__(
        self, silences: Callable[[], Iterable[Silence]], clock: Clock, notice: Callable[[str], None]
    ) -> None:
        self.counted = 0
        self._silences = silences
        self._clock = clock
        self._notice = notice
        self._sleeper = Sleeper(clock)

    def changed(self) -> None:
        """Look again; call after the devices changed."""
        self._sleeper.wake()

    async def run(self, emit: Emit) -> None:
        """Mark what is silent until cancelled."""
        while True:
            await self._sleeper.until(self.look(self._clock.boot_ms(), emit))

    def look(self, now_ms: int, emit: Emit) -> int:
        """Mark what is due; return when to look again."""
        next_ms = now_ms + IDLE_MS
        for silence in self._silences():
            # One that is heard meanwhile is not stale sooner than this.
            next_ms = min(next_ms, now_ms + silence.device.patience.stale_ms)
            due_ms = silence.due_ms
            if due_ms is None:
                continue
            if due_ms <= now_ms:
                self.counted += silence.mark is Quality.GOOD
                gone = now_ms >= silence.since_ms + silence.device.patience.gone_ms
                emit(silence.marked(now_ms, Quality.BAD_COMM if gone else Quality.STALE))
                silent_s = (now_ms - silence.since_ms) / 1000
                mark = silence.mark.name.lower()
                self._notice(f"{silence.device.name}: silent for {silent_s:.0f} s, {mark}")
                due_ms = silence.due_ms
            if due_ms is not None:
                next_ms = min(next_ms, due_ms)
        return next_ms
