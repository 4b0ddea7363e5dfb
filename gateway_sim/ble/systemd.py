"""A stand-in for systemd on the radio's bus: it restarts `bluetooth.service` for who asks."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Literal

from dbus_fast import Message, MessageType, NameFlag
from dbus_fast.aio import MessageBus

SERVICE, PATH = "org.freedesktop.systemd1", "/org/freedesktop/systemd1"
MANAGER = "org.freedesktop.systemd1.Manager"
UNIT = "bluetooth.service"
JOB_PATH = f"{PATH}/job/1"


@contextlib.asynccontextmanager
async def serving(
    address: str, restart: Callable[[Literal["clean"]], Awaitable[None]], tasks: asyncio.TaskGroup
) -> AsyncIterator[None]:
    """Answer `RestartUnit` while the context is open; the restart itself becomes one of the tasks."""
    bus = MessageBus(bus_address=address)

    async def carry_out() -> None:
        await restart("clean")

    def handle(message: Message) -> bool:
        called = message.message_type is MessageType.METHOD_CALL and message.interface == MANAGER
        if not called or message.member != "RestartUnit":
            return False
        if message.body[0] != UNIT:
            text = f"Unit {message.body[0]} not found."
            bus.send(Message.new_error(message, "org.freedesktop.systemd1.NoSuchUnit", text))
            return True
        tasks.create_task(carry_out(), name="restart bluetooth.service")
        bus.send(Message.new_method_return(message, "o", [JOB_PATH]))
        return True

    await bus.connect()
    bus.add_message_handler(handle)
    await bus.request_name(SERVICE, NameFlag.DO_NOT_QUEUE)
    try:
        yield
    finally:
        bus.disconnect()
        await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]  # dbus-fast's
