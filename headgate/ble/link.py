"""A device's turn at the connections of its adapter, kept through several steps and a lost connection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack

from headgate.ble.config import Device
from headgate.ble.gatt import Gatt
from headgate.ble.radio import Session
from headgate.errors import Retry


class Link:
    """Connects when it is first needed, before any poll, and holds its slot from then on: `close` it."""

    def __init__(self, device: Device, gatt: Gatt) -> None:
        self.device = device
        self._gatt = gatt
        self._turn = AsyncExitStack()
        self._connect: Callable[[], Awaitable[Session]] | None = None
        self._session: Session | None = None

    async def read(self, uuid: str) -> bytes:
        """A characteristic's value. One lost connection is made again. Raises as `Session.read`."""
        if self._session is not None:
            try:
                return await self._session.read(uuid, self.device.timeout_s)
            except Retry:
                await self._drop()
        session = await self._open()
        try:
            return await session.read(uuid, self.device.timeout_s)
        except Retry:
            await self._drop()
            raise

    async def write(self, uuid: str, data: bytes, *, response: bool) -> None:
        """Write, once, over the connection that was read from. Raises as `Session.write`."""
        if self._session is None:
            raise Retry("the connection was lost")
        self._gatt.writes += 1
        await self._session.write(uuid, data, self.device.timeout_s, response=response)

    async def close(self) -> None:
        """Disconnect, and let others have the slot."""
        try:
            await self._drop()
        finally:
            self._connect = None
            await self._turn.aclose()

    async def _open(self) -> Session:
        device = self.device
        if self._connect is None:
            turn = self._gatt.turn(device.address, device.timeout_s, urgent=True, pair=device.pair)
            self._connect = await self._turn.enter_async_context(turn)
        self._session = await self._connect()
        return self._session

    async def _drop(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            await session.close()
