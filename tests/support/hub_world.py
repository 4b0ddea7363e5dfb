"""What surrounds a hub in tests: a scripted bridge and a scripted cloud, on one in-memory bus."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from headgate.batch import encode
from headgate.bus.memory import MemoryBus, MemoryCloud
from headgate.clock import Clock
from headgate.model import Batch, ClockState, Frame, Series, dictionary_hash, series_row

PAGE_ROWS = 50


class ScriptedBridge:
    """Keeps what is not acknowledged, and sends it again when told to go back. `acked` is the hub's word.

    With `dead` it neither hears nor says anything.
    """

    def __init__(
        self, bus: MemoryBus, clock: Clock, name: str, table: Sequence[Series], run_id: int = 1
    ) -> None:
        self.acked = 0
        self.rewinds = 0
        self.serves = True
        self.dead = False
        self.on_ack: Callable[[int], None] = lambda up_to: None
        self._bus = bus
        self._clock = clock
        self._name = name
        self._table = tuple(table)
        self._run_id = run_id
        self._seq = 0
        self._wires: dict[int, bytes] = {}
        self._changed = asyncio.Event()

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Listen to the hub while entered."""
        with (
            self._bus.subscribe(f"hg/v1/local/ack/{self._name}", self._on_ack),
            self._bus.subscribe("hg/v1/local/hub", self._on_hub),
            self._bus.serve(f"hg/v1/local/dictionary/{self._name}", self._dictionary),
        ):
            yield

    def batch(self, frames: Sequence[Frame], *, clock: ClockState = ClockState.SYNCED) -> list[int]:
        """Pack frames into the next batches, not sent yet; returns their seqs."""
        offset_ms = self._clock.utc_ms() - self._clock.boot_ms()
        seq = self._seq + 1
        key = dictionary_hash(self._table)
        wires = encode(Batch(self._name, self._run_id, seq, 1, key, "", offset_ms, clock, 0, frames))
        for wire in wires:
            self._seq += 1
            self._wires[self._seq] = wire
        return list(range(seq, self._seq + 1))

    async def send(self, frames: Sequence[Frame], *, clock: ClockState = ClockState.SYNCED) -> None:
        """Pack frames and send them."""
        for seq in self.batch(frames, clock=clock):
            await self.publish(seq)

    async def publish(self, seq: int) -> None:
        """Send one batch, again or for the first time."""
        await self._bus.publish(f"hg/v1/local/batch/{self._name}", self._wires[seq])

    async def until_acked(self, seq: int | None = None) -> None:
        """Wait until the hub has acknowledged up to `seq` (all there is)."""
        async with asyncio.timeout(30):
            while self.acked < (self._seq if seq is None else seq):
                self._changed.clear()
                await self._changed.wait()

    async def _on_ack(self, topic: str, payload: bytes) -> None:
        ack = json.loads(payload)
        if int(ack["run_id"], 16) != self._run_id:
            return
        assert ack["up_to"] >= self.acked, "the hub took back an acknowledgement"
        self.acked = ack["up_to"]
        self.on_ack(self.acked)
        self._changed.set()
        if ack.get("rewind"):
            self.rewinds += 1
            await self._send_again()

    async def say_alive(self, **said: object) -> None:
        """Answer the hub, or say goodbye."""
        payload = json.dumps({"run_id": f"{self._run_id:016x}", **said}).encode()
        await self._bus.publish(f"hg/v1/local/alive/{self._name}", payload)

    async def _on_hub(self, topic: str, payload: bytes) -> None:
        if not self.dead:
            await self.say_alive()
            await self._send_again()

    async def _send_again(self) -> None:
        for seq in range(self.acked + 1, self._seq + 1):
            await self.publish(seq)

    async def _dictionary(self, payload: bytes) -> bytes:
        asked = json.loads(payload)
        assert asked["dictionary"] == dictionary_hash(self._table).hex()
        rows = [series_row(series) for series in self._table]
        first = asked["page"] * PAGE_ROWS
        pages = -(-len(rows) // PAGE_ROWS)
        reply = {"pages": pages, "series": rows[first : first + PAGE_ROWS]}
        return json.dumps(reply if self.serves else {"nothing": 0}).encode()


class ScriptedCloud:
    """Keeps every envelope by its key and acknowledges as the ingest does; `answers` turns that off."""

    def __init__(self, thing: str, cloud: MemoryCloud) -> None:
        self.envelopes: dict[tuple[str, str, int], bytes] = {}
        self.received = 0
        self.answers = True
        self.on_envelope: Callable[[bytes], None] = lambda body: None
        self._thing = thing
        self._cloud = cloud
        self._changed = asyncio.Event()

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Take envelopes while entered."""
        with self._cloud.attached(f"$aws/rules/hg_ingest_v1/hg/v1/{self._thing}/up/+/json", self._take):
            yield

    def acknowledge(self, stream: str, epoch: str) -> None:
        """Say what is there of one stream and epoch."""
        held = sorted(seq for s, e, seq in self.envelopes if (s, e) == (stream, epoch))
        up_to = 0
        while up_to + 1 in held:
            up_to += 1
        received = [[seq, seq] for seq in held if seq > up_to][:32]
        ack = {"v": 1, "stream": stream, "epoch": epoch, "up_to": up_to, "received": received}
        self._cloud.route(f"hg/v1/{self._thing}/dn/ack", json.dumps(ack).encode())

    async def until(self, done: Callable[[], bool]) -> None:
        """Wait for envelopes until `done`."""
        async with asyncio.timeout(30):
            while not done():
                self._changed.clear()
                await self._changed.wait()

    def _take(self, topic: str, body: bytes) -> None:
        assert len(topic) + len(body) <= 5_120
        head = json.loads(body)
        key = (head["stream"], head["epoch"], head["seq"])
        self.received += 1
        assert self.envelopes.setdefault(key, body) == body, "the same key with other content"
        self.on_envelope(body)
        self._changed.set()
        if self.answers:
            self.acknowledge(key[0], key[1])
