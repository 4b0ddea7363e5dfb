"""A TCP proxy that can cut the line while it runs: by reset, by silence or by delay."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from enum import StrEnum

Address = tuple[str, int]
CHUNK_BYTES = 65_536
"""Read at most this at once; a connection holds at most a few of them in each direction."""
BACKLOG = 100


class Mode(StrEnum):
    """What happens to connections.

    PASS forwards. RESET resets all that are open and refuses new ones. SILENCE keeps them and accepts new
    ones but forwards nothing, not even a close; what was sent meanwhile passes later, as on a line whose
    packets are lost for a while. DELAY forwards each piece `delay_s` late.
    """

    PASS = "pass"
    RESET = "reset"
    SILENCE = "silence"
    DELAY = "delay"


@dataclass(slots=True)
class Counters:
    """Bytes forwarded to the target (up) and back (down), connections accepted and those cut by a reset."""

    up_bytes: int = 0
    down_bytes: int = 0
    accepted: int = 0
    resets: int = 0


@dataclass(slots=True)
class _Connection:
    """The sockets of one connection, to be reset together."""

    writers: list[asyncio.StreamWriter] = field(default_factory=list)

    def reset(self) -> None:
        for writer in self.writers:
            sock = writer.get_extra_info("socket")
            if sock is not None:
                # Linger 0 makes close send RST instead of FIN (socket(7)).
                with contextlib.suppress(OSError):
                    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


class Proxy:
    """Forwards TCP from `address` to `target` in the mode it is in; made by `proxying`."""

    def __init__(self, target: Address, group: asyncio.TaskGroup) -> None:
        self.target, self.mode, self.delay_s = target, Mode.PASS, 0.0
        self.counters = Counters()
        self.address: Address = ("", 0)
        self._group = group
        self._open: dict[asyncio.Task[None], _Connection] = {}
        self._heard = asyncio.Event()
        self._heard.set()
        self._server: asyncio.Server | None = None
        self._reserved: socket.socket | None = None

    @property
    def connections(self) -> int:
        """How many are open."""
        return len(self._open)

    async def listen(self, address: Address) -> None:
        """Listen; port 0 takes any. Raises OSError."""
        await self._listen(_bound(address))

    async def _listen(self, sock: socket.socket) -> None:
        self._server = await asyncio.start_server(self._accept, sock=sock, limit=CHUNK_BYTES, backlog=BACKLOG)
        self.address = sock.getsockname()[:2]

    async def switch(self, mode: Mode, *, delay_s: float = 0.0) -> None:
        """Change what happens from now on; raises OSError if the port was taken meanwhile."""
        self.mode, self.delay_s = mode, delay_s if mode is Mode.DELAY else 0.0
        if mode is Mode.SILENCE:
            self._heard.clear()
        else:
            self._heard.set()
        if mode is Mode.RESET:
            await self._refuse()
        elif self._reserved is not None:
            reserved, self._reserved = self._reserved, None
            await self._listen(reserved)

    async def _refuse(self) -> None:
        """Close the door and everything behind it, but keep the port: bound without listening refuses."""
        if self._server is not None:
            server, self._server = self._server, None
            server.close()
            self._reserved = _bound(self.address)
        self.counters.resets += len(self._open)
        await self._cut()

    async def _cut(self) -> None:
        tasks = list(self._open)
        for task in tasks:
            self._open[task].reset()
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def close(self) -> None:
        """Stop listening and reset what is open."""
        if self._server is not None:
            self._server.close()
        if self._reserved is not None:
            self._reserved.close()
        await self._cut()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = _Connection([writer])
        if self.mode is Mode.RESET:  # was on its way in when the door closed
            connection.reset()
            return
        self.counters.accepted += 1
        name = f"proxy {writer.get_extra_info('peername')}"
        task = self._group.create_task(self._serve(connection, reader, writer), name=name)
        self._open[task] = connection
        task.add_done_callback(self._open.pop)

    async def _serve(
        self, connection: _Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            await self._heard.wait()
            far_reader, far_writer = await asyncio.open_connection(*self.target, limit=CHUNK_BYTES)
            connection.writers.append(far_writer)
            async with asyncio.TaskGroup() as pumps:
                pumps.create_task(self._pump(reader, far_writer, up=True), name="proxy up")
                pumps.create_task(self._pump(far_reader, writer, up=False), name="proxy down")
            for end in connection.writers:
                end.close()
                await end.wait_closed()
        except* OSError:
            # One side reset or is not there: the other learns it so, once the line carries anything.
            await self._heard.wait()
            connection.reset()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, up: bool) -> None:
        """Forward until end of file, then pass the end on: the other direction may go on (half-close)."""
        while data := await reader.read(CHUNK_BYTES):
            if self.delay_s:
                await asyncio.sleep(self.delay_s)
            await self._heard.wait()
            writer.write(data)
            if up:
                self.counters.up_bytes += len(data)
            else:
                self.counters.down_bytes += len(data)
            await writer.drain()
        await self._heard.wait()
        writer.write_eof()


def _bound(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
    except OSError:
        sock.close()
        raise
    return sock


@contextlib.asynccontextmanager
async def proxying(target: Address, listen: Address = ("127.0.0.1", 0)) -> AsyncIterator[Proxy]:
    """A proxy before `target` while the context is open; raises OSError when it cannot listen."""
    async with asyncio.TaskGroup() as group:
        proxy = Proxy(target, group)
        await proxy.listen(listen)
        try:
            yield proxy
        finally:
            await proxy.close()


if __name__ == "__main__":
    from gateway_sim.faults.control import main

    raise SystemExit(main())
