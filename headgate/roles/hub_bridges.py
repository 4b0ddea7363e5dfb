"""What hub and bridges say to each other beside batches, and what becomes of a bridge that says nothing."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from headgate.batch import wire_key
from headgate.bus.api import Bus
from headgate.clock import Clock
from headgate.errors import Reject, Retry
from headgate.limited_log import LimitedLog
from headgate.roles.hub_pipeline import Arrived, Pipeline
from headgate.roles.hub_pulse import Pulse
from headgate.sleeper import Sleeper
from headgate.store.writer import Writer

log = logging.getLogger(__name__)

HUB_TOPIC = "hg/v1/local/hub"
ALIVE_PATTERN = "hg/v1/local/alive/+"


class Bridges:
    """Announces the hub every `announce_ms` and marks the series of a bridge that is silent for `silence_ms`.

    `marked` and `ended` are called for what was marked, and for a bridge that was stopped on purpose.
    """

    def __init__(
        self,
        bus: Bus,
        clock: Clock,
        pipeline: Pipeline,
        writer: Writer,
        epoch: int,
        config: Callable[[], str | None],
        *,
        announce_ms: int,
        silence_ms: int,
        marked: Callable[[Arrived], None],
        ended: Callable[[str], None],
    ) -> None:
        self._bus = bus
        self._clock = clock
        self._pipeline = pipeline
        self._writer = writer
        self._epoch = epoch
        self._config = config
        self._announce_ms = announce_ms
        self._marked = marked
        self._ended = ended
        self._pulse = Pulse(pipeline.fresh_bridges(), silence_ms, 2 * announce_ms)
        self._sleeper = Sleeper(clock)
        self._complaints = LimitedLog(log)

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Hear the bridges' answers while entered."""
        with self._bus.subscribe(ALIVE_PATTERN, self._on_alive):
            yield

    def on_batch(self, topic: str, wire: bytes) -> None:
        """A batch came, whatever becomes of it."""
        try:
            self._pulse.batch(topic.rpartition("/")[2], wire_key(wire).run_id)
        except Reject:  # the intake says so; that its bridge is alive, that will say itself
            return

    def quiet_ms(self) -> dict[str, int | None]:
        """See `Pulse.quiet_ms`; bridges that are dead or were stopped are not among them."""
        return self._pulse.quiet_ms()

    def announce_now(self) -> None:
        """There is another site document."""
        self._sleeper.wake()

    async def run(self) -> None:
        """Announce, and look who has been silent for too long, until cancelled."""
        while True:
            payload = json.dumps({"epoch": f"{self._epoch:016x}", "config": self._config()}).encode()
            try:
                await self._bus.publish(HUB_TOPIC, payload)
            except (Retry, Reject) as error:
                self._pulse.not_asked()
                self._complaints.warning("announce", "announcement to bridges: %s", error)
            else:
                self._pulse.asked(self._clock.boot_ms())
                for bridge in self._pulse.silent():
                    await self._settle(bridge)
            await self._sleeper.until(self._clock.boot_ms() + self._announce_ms)

    async def _settle(self, bridge: str) -> None:
        if self._pulse.was_stopped(bridge):
            await self._writer.call(self._pipeline.let_go, bridge)
            self._ended(bridge)
            log.info("bridge %s was stopped and has not come back: its series have ended", bridge)
        else:
            await self._mark(bridge)
        if self._pulse.is_silent(bridge):
            self._pulse.settle(bridge)

    async def _mark(self, bridge: str) -> None:
        """A part at a time; no more once the bridge is heard: what it says then is newer than this."""
        count = 0
        while self._pulse.is_silent(bridge):
            clock = self._clock
            boot_ms, utc_ms, state = clock.boot_ms(), clock.utc_ms(), clock.state()
            arrived = await self._writer.call(self._pipeline.mark, bridge, boot_ms, utc_ms, state)
            if not arrived.batches:
                break
            self._marked(arrived)
            count += sum(len(frame.series) for batch, _ in arrived.batches for frame in batch.frames)
        if count:  # of one that always dies again there is nothing new to say
            log.warning(
                "bridge %s does not answer: %d series marked bad_comm until it is back", bridge, count
            )

    async def _on_alive(self, topic: str, payload: bytes) -> None:
        bridge = topic.rpartition("/")[2]
        try:
            said = json.loads(payload)
            run_id, stopping = int(said["run_id"], 16), said.get("stopping") is True
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise Reject(f"not a bridge's sign of life: {payload[:80]!r}") from error
        if stopping:
            self._pulse.stopping(bridge, run_id)
        else:
            self._pulse.alive(bridge, run_id)
