"""A TCP proxy as a process: SIGUSR1 cuts (resets and refuses), SIGHUP lets nothing through, SIGUSR2 heals.

`python proxy.py TARGET_PORT` prints the port it listens on; stops with SIGTERM.
"""

from __future__ import annotations

import asyncio
import signal
import sys


class Proxy:
    """Forwards while healthy."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._writers: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._refusing = False

    def cut(self) -> None:
        self._refusing = True
        self._drop()

    def silence(self) -> None:
        self._flowing.clear()

    def heal(self) -> None:
        if not self._flowing.is_set():
            self._drop()
        self._refusing = False
        self._flowing.set()

    def _drop(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._target)
        pair = {writer, far_writer}
        self._writers |= pair
        try:
            await asyncio.gather(self._copy(reader, far_writer), self._copy(far_reader, writer))
        except ConnectionError:
            pass
        finally:
            self._writers -= pair
            for one in pair:
                one.transport.abort()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            await self._flowing.wait()
            if writer.transport.is_closing():
                return
            writer.write(data)
            await writer.drain()
        writer.transport.abort()


async def main() -> None:
    proxy = Proxy(int(sys.argv[1]))
    loop = asyncio.get_running_loop()
    ended = asyncio.Event()
    actions = {
        signal.SIGUSR1: proxy.cut,
        signal.SIGHUP: proxy.silence,
        signal.SIGUSR2: proxy.heal,
        signal.SIGTERM: ended.set,
    }
    for number, action in actions.items():
        loop.add_signal_handler(number, action)
    server = await asyncio.start_server(proxy.accept, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await ended.wait()
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
