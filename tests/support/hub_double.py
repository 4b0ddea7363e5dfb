"""A hub for bridge tests: takes batches in order, acknowledges when told, rewinds at gaps, fetches tables."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager

from headgate.batch import decode
from headgate.bus.api import Bus
from headgate.model import Batch


class HubDouble:
    """Follows docs/wire.md. `batches` is what it took, in order; with `silent` it never acknowledges.

    `alive` is what the bridge said of itself.
    """

    def __init__(self, bus: Bus, bridge: str = "modbus", *, silent: bool = False) -> None:
        self.batches: list[Batch] = []
        self.silent = silent
        self.expected: dict[int, int] = {}
        self.alive: list[dict[str, object]] = []
        self._bus = bus
        self._bridge = bridge
        self._arrived = asyncio.Event()

    @contextmanager
    def attached(self) -> Iterator[None]:
        """Take batches while entered."""
        with (
            self._bus.subscribe(f"hg/v1/local/batch/{self._bridge}", self._on_batch),
            self._bus.subscribe(f"hg/v1/local/alive/{self._bridge}", self._on_alive),
        ):
            yield

    async def announce(self, config: str | None = None) -> None:
        """Say that the hub is up or that the site document changed."""
        payload = json.dumps({"epoch": "00000000000000aa", "config": config}).encode()
        await self._bus.publish("hg/v1/local/hub", payload)

    async def until(self, count: int) -> list[Batch]:
        """Wait for that many batches."""
        async with asyncio.timeout(20):
            while len(self.batches) < count:
                self._arrived.clear()
                await self._arrived.wait()
        return self.batches

    async def until_alive(self, count: int) -> list[dict[str, object]]:
        """Wait for that many signs of life."""
        async with asyncio.timeout(20):
            while len(self.alive) < count:
                self._arrived.clear()
                await self._arrived.wait()
        return self.alive

    async def dictionary(self, batch: Batch) -> list[list[str | int | None]]:
        """The rows of the table that a batch refers to, all pages."""
        rows: list[list[str | int | None]] = []
        page, pages = 0, 1
        while page < pages:
            asked = json.dumps({"dictionary": batch.dictionary.hex(), "page": page}).encode()
            reply = json.loads(
                await self._bus.request(f"hg/v1/local/dictionary/{self._bridge}", asked, timeout_s=5)
            )
            rows += reply["series"]
            page, pages = page + 1, reply["pages"]
        return rows

    async def acknowledge(self, run_id: int, up_to: int, *, rewind: bool = False) -> None:
        """Send one acknowledgement."""
        ack = {"run_id": f"{run_id:016x}", "up_to": up_to} | ({"rewind": True} if rewind else {})
        await self._bus.publish(f"hg/v1/local/ack/{self._bridge}", json.dumps(ack).encode())

    async def _on_alive(self, topic: str, payload: bytes) -> None:
        self.alive.append(json.loads(payload))
        self._arrived.set()

    async def _on_batch(self, topic: str, payload: bytes) -> None:
        batch = decode(payload)
        expected = max(self.expected.get(batch.run_id, 1), batch.oldest_seq)
        if batch.seq > expected:
            await self.acknowledge(batch.run_id, expected - 1, rewind=True)
            return
        if batch.seq == expected:
            self.expected[batch.run_id] = batch.seq + 1
            self.batches.append(batch)
            self._arrived.set()
        if not self.silent:
            await self.acknowledge(batch.run_id, self.expected[batch.run_id] - 1)
