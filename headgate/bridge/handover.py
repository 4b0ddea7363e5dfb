"""Hands frames to the hub: packs batches, sends them in order, listens to the hub, spills at the end."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from headgate.batch import LIMIT_BYTES, Encoder
from headgate.bridge.outgoing import Limits, Outgoing
from headgate.bridge.spill import read_spill, remove_spill, write_spill
from headgate.bridge.tables import Tables
from headgate.bus.api import Bus
from headgate.bus.rpc import OVERHEAD_BYTES
from headgate.clock import Clock, machine_boot_id, random_id
from headgate.config.stateroot import StateRoot
from headgate.errors import Fatal, Reject, Retry
from headgate.model import Batch, Frame, Series
from headgate.sleeper import Sleeper

IDLE_MS = 3_600_000
BACK_OFF_FIRST_MS = 250
BACK_OFF_MAX_MS = 5_000
FULL = 0.95
"""How much of a batch is filled by estimate: one that turns out too large is encoded twice."""
HUB_TOPIC = "hg/v1/local/hub"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """How a bridge hands over. `flush_ms`: longest time a frame waits for its batch to fill."""

    flush_ms: int = 500
    stop_wait_ms: int = 2_000
    limits: Limits = field(default_factory=Limits)


class Handover:
    """One bridge's way to the hub. `table` gives the driver's series; frames index it.

    Use `attached` around everything else; `send` and `flush_regularly` are tasks of the role.
    """

    def __init__(
        self,
        bridge: str,
        bus: Bus,
        clock: Clock,
        table: Callable[[], Sequence[Series]],
        options: Options | None = None,
    ) -> None:
        self.run_id = random_id()
        self.options = options or Options()
        self.outgoing = Outgoing(self.run_id, self.options.limits)
        self.tables = Tables(bus.max_local_bytes - OVERHEAD_BYTES)
        self._bridge = bridge
        self._bus = bus
        self._clock = clock
        self._table = table
        self._boot_id = machine_boot_id()
        self._encoder = Encoder()
        self._limit_bytes = min(LIMIT_BYTES, bus.max_local_bytes)
        self._frames: list[Frame] = []
        self._values = 0
        self._full_values = self._limit_bytes * FULL / 8
        self._dictionary = b""
        self._seq = 1
        self._sender = Sleeper(clock)
        self._drainer = Sleeper(clock)
        self._file: Path | None = None

    def take(self, frame: Frame) -> None:
        """Add one frame; what was taken before is packed when this one would make the batch too large."""
        size = len(frame.series)
        if self._values + size > self._full_values:
            self.flush()
        self._frames.append(frame)
        self._values += size

    def flush(self) -> None:
        """Pack what was taken into batches and have them sent."""
        if not self._frames:
            return
        frames, values = self._frames, self._values
        self._frames, self._values = [], 0
        shed = self.outgoing.shed_batches
        dictionary = self.tables.current(self._table())
        if dictionary != self._dictionary:
            self._dictionary = dictionary
            self.tables.keep(self.outgoing.dictionaries())
        wires = self._encoder.encode(
            Batch(
                bridge=self._bridge,
                run_id=self.run_id,
                seq=self._seq,
                oldest_seq=self.outgoing.oldest_seq(),
                dictionary=dictionary,
                machine_boot_id=self._boot_id,
                utc_offset_ms=self._clock.utc_ms() - self._clock.boot_ms(),
                clock=self._clock.state(),
                dropped=self.outgoing.take_dropped(),
                frames=frames,
            ),
            self._limit_bytes,
        )
        self._seq += len(wires)
        # What a value cost last time says how many fill a batch next time.
        bytes_per_value = max(1.0, sum(map(len, wires)) / values)
        self._full_values = self._limit_bytes * FULL / bytes_per_value
        for wire in wires:
            self.outgoing.add(wire)
        if shed == 0 and self.outgoing.shed_batches:
            log.error(
                "the hub has not acknowledged %d B of batches: the oldest are dropped from now on",
                self.options.limits.kept_bytes,
            )
        self._sender.wake()

    async def flush_regularly(self) -> None:
        """Flush every `flush_ms`, until cancelled."""
        due_ms = self._clock.boot_ms()
        while True:
            due_ms = max(due_ms + self.options.flush_ms, self._clock.boot_ms())
            await self._clock.sleep_until(due_ms)
            self.flush()

    async def send(self) -> None:
        """Send batches in order as the window allows, until cancelled."""
        topic = f"hg/v1/local/batch/{self._bridge}"
        back_off_ms, said = BACK_OFF_FIRST_MS, ""
        while True:
            now_ms = self._clock.boot_ms()
            wire = self.outgoing.next(now_ms)
            if wire is None:
                await self._sender.until(self.outgoing.deadline_ms() or now_ms + IDLE_MS)
                continue
            try:
                await self._bus.publish(topic, wire)
            except (Retry, Reject) as error:
                if str(error) != said:
                    log.warning("batches wait: %s", error)
                said = str(error)
                await self._clock.sleep_until(self._clock.boot_ms() + back_off_ms)
                back_off_ms = min(2 * back_off_ms, BACK_OFF_MAX_MS)
                # What went out just before the bus broke is as lost as this one.
                self.outgoing.resend(self._clock.boot_ms())
            else:
                back_off_ms, said = BACK_OFF_FIRST_MS, ""

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Listen to the hub's acknowledgements and serve its requests while entered."""
        with (
            self._bus.subscribe(f"hg/v1/local/ack/{self._bridge}", self._on_ack),
            self._bus.serve(f"hg/v1/local/dictionary/{self._bridge}", self.tables.serve),
        ):
            yield

    def hub_is_up(self) -> None:
        """The hub announced itself: it gets everything again that it has not acknowledged."""
        self.outgoing.resend(self._clock.boot_ms())
        self._sender.wake()

    async def say_alive(self, *, stopping: bool = False) -> None:
        """Answer the hub's announcement, or tell it that this bridge ends because it was told to."""
        said: dict[str, object] = {"run_id": f"{self.run_id:016x}"}
        if stopping:
            said["stopping"] = True
        # The hub asks again, and knows that it could not hear us where the bus is at fault.
        with suppress(Retry, Reject):
            await self._bus.publish(f"hg/v1/local/alive/{self._bridge}", json.dumps(said).encode())

    async def drained(self, until_ms: int) -> bool:
        """Wait until everything is acknowledged, at most until a boottime; return whether it is."""
        while len(self.outgoing) and self._clock.boot_ms() < until_ms:
            await self._drainer.until(until_ms)
        return not len(self.outgoing)

    def restore(self, root: StateRoot) -> None:
        """Take over what the last start left in the state root. Of a damaged file the good part is kept."""
        path = root.pending(self._bridge)
        self._file = path
        try:
            spilled = read_spill(path)
            if spilled is None:
                return
            aside = root.set_aside(path, self._clock.boot_ms()) if spilled.fault else path
        except OSError as error:
            raise Fatal(f"{path}: cannot be read or set aside: {error.strerror}") from error
        if spilled.fault:
            log.error("%s: %s; set aside as %s", path, spilled.fault, aside)
        for dictionary, rows in spilled.tables.items():
            self.tables.add(dictionary, rows)
        self.outgoing.restore(spilled.wires)
        log.info("%d batches of the last run wait for the hub", len(spilled.wires))

    def spill(self) -> None:
        """Leave what is not acknowledged to the next start; call when nothing runs any more."""
        self.flush()
        if self._file is None:
            return
        wires = list(self.outgoing.wires())
        if not wires:
            self._forget_spilled()
            return
        tables = {
            dictionary: rows
            for dictionary in self.outgoing.dictionaries()
            if (rows := self.tables.rows(dictionary)) is not None
        }
        try:
            size_bytes = write_spill(self._file, tables, wires)
        except OSError as error:
            raise Fatal(f"{self._file}: {len(wires)} batches could not be kept: {error.strerror}") from error
        log.info("%d batches (%d B) are kept for the next start", len(wires), size_bytes)

    async def _on_ack(self, topic: str, payload: bytes) -> None:
        try:
            ack = json.loads(payload)
            run_id, up_to = int(ack["run_id"], 16), int(ack["up_to"])
            back = ack.get("rewind") is True
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise Reject(f"not an acknowledgement: {payload[:80]!r}") from error
        restored = self.outgoing.restored
        if back:
            self.outgoing.rewind(run_id, up_to, self._clock.boot_ms())
        else:
            self.outgoing.acknowledge(run_id, up_to, self._clock.boot_ms())
        if restored and not self.outgoing.restored:
            self._forget_spilled()
            self.tables.keep(self.outgoing.dictionaries())
        self._sender.wake()
        if not len(self.outgoing):
            self._drainer.wake()

    def _forget_spilled(self) -> None:
        if self._file is None:
            return
        try:
            remove_spill(self._file)
        except OSError as error:
            # The hub knows these batches by their keys and will take none of them twice.
            log.warning("%s cannot be removed: %s", self._file, error.strerror)
