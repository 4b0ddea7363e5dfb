"""An adapter's switches over D-Bus: its state as BlueZ signals it, its power, the service's restart."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from dbus_fast import BusType, Message, MessageType, Variant
from dbus_fast.aio import MessageBus
from dbus_fast.errors import DBusFastError

from headgate.ble.radio import AdapterState
from headgate.ble.within import within
from headgate.clock import Clock
from headgate.errors import Retry

BLUEZ, ADAPTER, DEVICE = "org.bluez", "org.bluez.Adapter1", "org.bluez.Device1"
DBUS, DBUS_PATH = "org.freedesktop.DBus", "/org/freedesktop/DBus"
PROPERTIES, OBJECTS = "org.freedesktop.DBus.Properties", "org.freedesktop.DBus.ObjectManager"
SYSTEMD, SYSTEMD_PATH = "org.freedesktop.systemd1", "/org/freedesktop/systemd1"
UNIT = "bluetooth.service"
CALL_S = 5.0
"""Of every call; switching an adapter on takes a slow one two seconds."""
RECONNECT_MS = 5_000
_FAILURES = (DBusFastError, OSError, EOFError, TimeoutError)

log = logging.getLogger(__name__)


class BluezController:
    """A Controller on a connection of its own, which hears nothing but this adapter."""

    def __init__(self, adapter: str, clock: Clock) -> None:
        self.state: AdapterState | None = None
        self._path = f"/org/bluez/{adapter}"
        self._clock = clock
        self._bus: MessageBus | None = None
        self._news = asyncio.Event()
        self._losses = 0
        self._changed: Callable[[], None] = lambda: None

    async def watch(self, changed: Callable[[], None]) -> None:
        """See `Controller.watch`. A bus that went, as dbus-daemon restarts, is connected to again."""
        self._changed = changed
        while True:
            try:
                await self._connected()
            except _FAILURES as error:
                log.debug("no system bus: %r", error)
            self._losses += 1
            self._set(None)
            await self._clock.sleep_until(self._clock.boot_ms() + RECONNECT_MS)

    async def look(self) -> tuple[AdapterState, list[str]]:
        """The state, asked just now, and the names of all adapters. Raises Retry: there is no system bus."""
        async with self._at_once() as bus:
            state = await self._look(bus)
            return state, await self._adapters(bus) if state.service else []

    async def is_connected(self, address: str) -> bool:
        """Whether anybody is connected to a device, through this adapter. Raises Retry: no system bus."""
        path = f"{self._path}/dev_{address.replace(':', '_')}"
        asked = Message(BLUEZ, path, PROPERTIES, "Get", signature="ss", body=[DEVICE, "Connected"])
        async with self._at_once() as bus:
            reply = await self._call(bus, asked)
            return reply.message_type is MessageType.METHOD_RETURN and bool(reply.body[0].value)

    @asynccontextmanager
    async def _at_once(self) -> AsyncIterator[MessageBus]:
        """A bus for a question or two, where nothing is watched."""
        try:
            bus = MessageBus(bus_type=BusType.SYSTEM)
            try:
                await within(self._clock, CALL_S, bus.connect(), "connect to the system bus")
                yield bus
            finally:
                bus.disconnect()
        except _FAILURES as error:
            raise Retry(f"no system bus: {error}") from error

    async def power(self, on: bool) -> None:
        """See `Controller.power`."""
        body: list[Any] = [ADAPTER, "Powered", Variant("b", on)]
        await self._asked(
            Message(BLUEZ, self._path, PROPERTIES, "Set", signature="ssv", body=body),
            f"switching {self._path.rpartition('/')[2]} {'on' if on else 'off'}",
        )

    async def restart_service(self) -> None:
        """See `Controller.restart_service`; polkit must let the user manage the unit."""
        body = [UNIT, "replace"]
        await self._asked(
            Message(SYSTEMD, SYSTEMD_PATH, f"{SYSTEMD}.Manager", "RestartUnit", signature="ss", body=body),
            f"restarting {UNIT}",
        )

    async def _connected(self) -> None:
        bus = MessageBus(bus_type=BusType.SYSTEM)
        try:
            await self._follow(bus)
        finally:
            self._bus = None
            bus.disconnect()  # also when it never connected: it holds a socket from the start

    async def _follow(self, bus: MessageBus) -> None:
        """Keep the state on a bus until it goes."""
        await within(self._clock, CALL_S, bus.connect(), "connect to the system bus")
        bus.add_message_handler(self._on_message)
        for rule in self._rules():
            await self._call(bus, Message(DBUS, DBUS_PATH, DBUS, "AddMatch", signature="s", body=[rule]))
        self._bus = bus
        gone = asyncio.get_running_loop().create_task(_gone(bus), name="system bus")
        gone.add_done_callback(lambda _: self._news.set())
        try:
            while not gone.done():
                self._news.clear()
                self._set(await self._look(bus))
                await self._news.wait()
        finally:
            gone.cancel()

    def _rules(self) -> list[str]:
        objects = f"type='signal',sender='{BLUEZ}',interface='{OBJECTS}',arg0path='{self._path}'"
        return [
            f"type='signal',sender='{DBUS}',interface='{DBUS}',member='NameOwnerChanged',arg0='{BLUEZ}'",
            f"type='signal',sender='{BLUEZ}',interface='{PROPERTIES}',path='{self._path}'",
            objects,
        ]

    async def _look(self, bus: MessageBus) -> AdapterState:
        asked = Message(DBUS, DBUS_PATH, DBUS, "NameHasOwner", signature="s", body=[BLUEZ])
        reply = await self._call(bus, asked)
        if not reply.body[0]:
            return AdapterState(losses=self._losses)
        reply = await self._call(
            bus, Message(BLUEZ, self._path, PROPERTIES, "GetAll", signature="s", body=[ADAPTER])
        )
        if reply.message_type is not MessageType.METHOD_RETURN:
            return AdapterState(service=True, losses=self._losses)
        return AdapterState(
            service=True,
            present=True,
            powered=_is(reply.body[0], "Powered"),
            discovering=_is(reply.body[0], "Discovering"),
            losses=self._losses,
        )

    async def _adapters(self, bus: MessageBus) -> list[str]:
        reply = await self._call(bus, Message(BLUEZ, "/", OBJECTS, "GetManagedObjects"))
        if reply.message_type is not MessageType.METHOD_RETURN:
            return []
        objects = reply.body[0].items()
        return sorted(path.rpartition("/")[2] for path, interfaces in objects if ADAPTER in interfaces)

    def _on_message(self, message: Message) -> None:
        if message.message_type is not MessageType.SIGNAL:
            return
        match message.member, message.body:
            case "NameOwnerChanged", [name, before, _] if name == BLUEZ:
                self._losses += bool(before)
            case "InterfacesRemoved", [path, interfaces] if path == self._path and ADAPTER in interfaces:
                self._losses += 1
            case "InterfacesAdded", [path, *_] if path == self._path:
                pass
            case "PropertiesChanged", [interface, changed, _] if interface == ADAPTER:
                if not {"Powered", "Discovering"} & set(changed):
                    return
                self._losses += "Powered" in changed and not changed["Powered"].value
            case _:
                return
        self._news.set()

    async def _asked(self, message: Message, what: str) -> None:
        if self._bus is None:
            raise Retry(f"{what}: there is no system bus")
        try:
            reply = await self._call(self._bus, message)
        except _FAILURES as error:
            raise Retry(f"{what}: {error}") from error
        if reply.message_type is MessageType.ERROR:
            text = reply.body[0] if reply.body else reply.error_name
            raise Retry(f"{what}: {text}")

    async def _call(self, bus: MessageBus, message: Message) -> Message:
        return await within(self._clock, CALL_S, bus.call(message), f"D-Bus {message.member}")

    def _set(self, state: AdapterState | None) -> None:
        if state != self.state:
            self.state = state
            self._changed()


async def _gone(bus: MessageBus) -> None:
    """Return when a bus has gone, whatever of."""
    try:
        await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]  # dbus-fast's
    except (*_FAILURES, RuntimeError) as error:
        log.debug("the system bus went: %r", error)


def _is(properties: dict[str, Variant], name: str) -> bool:
    variant = properties.get(name)
    return variant is not None and bool(variant.value)
