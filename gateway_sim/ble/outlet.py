"""The way of messages onto the bus: they wait for room, which dbus-fast does not do."""

from __future__ import annotations

import asyncio
import os
import select
from collections import deque
from typing import Any

from dbus_fast import Message
from dbus_fast.aio import MessageBus


class Outlet:
    """Sends in order. dbus-fast 5.2 gives up a connection whose socket is full in the middle of a burst, as
    when discovery ends and a thousand devices say so; a socket that is writable has room for any message."""

    def __init__(self, bus: MessageBus) -> None:
        self._bus = bus
        self._waiting: deque[Message] = deque()
        self._loop = asyncio.get_running_loop()
        # dbus-fast waits for its own descriptor; the loop has one callback for each.
        socket: Any = bus._sock  # there is no other way to it
        self._fd = os.dup(socket.fileno())
        self._room = select.poll()
        self._room.register(self._fd, select.POLLOUT)

    def send(self, message: Message) -> None:
        """Send now, or when there is room."""
        if not self._waiting and self._room.poll(0):
            self._bus.send(message)
            return
        self._waiting.append(message)
        if len(self._waiting) == 1:
            self._loop.add_writer(self._fd, self._drain)

    def close(self) -> None:
        """Forget what waits."""
        self._waiting.clear()
        self._loop.remove_writer(self._fd)
        os.close(self._fd)

    def _drain(self) -> None:
        while self._waiting and self._room.poll(0):
            self._bus.send(self._waiting.popleft())
        if not self._waiting:
            self._loop.remove_writer(self._fd)
