"""A serial line without hardware: two ptys back to back, one for the device, one for the gateway."""

from __future__ import annotations

import asyncio
import os
import tty
from types import TracebackType

CHUNK_BYTES = 4096


class SerialLine:
    """Join two ptys while the context is open; `device_path` and `gateway_path` behave like two serial ports.

    The slaves stay open here, in raw mode, so that either side may come and go without a hang-up. A byte
    for which the far end has no room is lost, as on a wire.
    """

    def __init__(self) -> None:
        self._masters: list[int] = []
        self._slaves: list[int] = []
        self.device_path = self.gateway_path = ""

    def __enter__(self) -> SerialLine:
        loop = asyncio.get_running_loop()
        for _ in range(2):
            master, slave = os.openpty()
            tty.setraw(slave)
            os.set_blocking(master, False)
            self._masters.append(master)
            self._slaves.append(slave)
        self.device_path, self.gateway_path = map(os.ttyname, self._slaves)
        near, far = self._masters
        loop.add_reader(near, self._carry, near, far)
        loop.add_reader(far, self._carry, far, near)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        loop = asyncio.get_running_loop()
        for master in self._masters:
            loop.remove_reader(master)
        for fd in self._masters + self._slaves:
            os.close(fd)
        self._masters, self._slaves = [], []

    @staticmethod
    def _carry(source: int, target: int) -> None:
        try:
            os.write(target, os.read(source, CHUNK_BYTES))
        except BlockingIOError:
            return
