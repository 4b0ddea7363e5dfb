"""One life of the fake Bluetooth daemon: it owns `org.bluez` and answers the methods called on it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from dbus_fast import Message, MessageType, NameFlag, RequestNameReply, Variant
from dbus_fast.aio import MessageBus

from gateway_sim.ble.adapter import ADAPTER_INTERFACE, MONITOR_MANAGER, Adapter
from gateway_sim.ble.blefile import BleError
from gateway_sim.ble.conditions import Conditions
from gateway_sim.ble.objects import OBJECT_MANAGER, PROPERTIES, ObjectTree
from gateway_sim.ble.outlet import Outlet
from gateway_sim.ble.peripheral import CHARACTERISTIC, DEVICE, Peripherals
from gateway_sim.ble.refusal import Refusal
from gateway_sim.ble.sensors import Advertisement
from gateway_sim.ble.station import ADAPTER_PATH, Packet, Station

SERVICE = "org.bluez"
BUS = "org.freedesktop.DBus"
GONE_RULE = f"type='signal',sender='{BUS}',interface='{BUS}',member='NameOwnerChanged'"

Answer = tuple[str, list[Any]]
"""A reply's D-Bus signature and its body."""
EMPTY: Answer = ("", [])
Method = Callable[[Message], Awaitable[Answer | None]]
"""What answers a call; None leaves it without an answer for ever."""


class Bluetoothd:
    """`org.bluez` on a bus from `start` to `stop`. Calls are carried out as tasks of `tasks`.

    `on_discovery(on, why)` is told when discovery goes on or off.
    """

    def __init__(
        self,
        address: str,
        stations: Mapping[str, Station],
        tasks: asyncio.TaskGroup,
        on_discovery: Callable[[bool, str], None],
        conditions: Conditions,
        *,
        powered: bool = True,
    ) -> None:
        self._bus = MessageBus(bus_address=address)
        self._outlet: Outlet | None = None
        self._tasks = tasks
        self.tree = ObjectTree(self._send)
        self.peripherals = Peripherals(self.tree, stations, asyncio.get_running_loop().time, conditions)
        self.adapter = Adapter(self.tree, self.peripherals, on_discovery, conditions, powered=powered)
        self._left = False
        self._methods: Mapping[tuple[str, str], Method] = {
            (OBJECT_MANAGER, "GetManagedObjects"): self._managed,
            (PROPERTIES, "Get"): self._get,
            (PROPERTIES, "GetAll"): self._get_all,
            (PROPERTIES, "Set"): self._set,
            (ADAPTER_INTERFACE, "SetDiscoveryFilter"): self._filter,
            (ADAPTER_INTERFACE, "StartDiscovery"): self._start_discovery,
            (ADAPTER_INTERFACE, "StopDiscovery"): self._stop_discovery,
            (ADAPTER_INTERFACE, "RemoveDevice"): self._remove_device,
            (MONITOR_MANAGER, "RegisterMonitor"): self._register_monitor,
            (MONITOR_MANAGER, "UnregisterMonitor"): self._unregister_monitor,
            (DEVICE, "Connect"): self._connect,
            (DEVICE, "Disconnect"): self._disconnect,
            (DEVICE, "Pair"): self._pair,
            (CHARACTERISTIC, "ReadValue"): self._read,
            (CHARACTERISTIC, "WriteValue"): self._write,
            (CHARACTERISTIC, "StartNotify"): self._start_notify,
            (CHARACTERISTIC, "StopNotify"): self._stop_notify,
        }

    async def start(self, *, plugged: bool = True) -> None:
        """Connect, show the adapter if it is there, take the name; raises BleError when it is taken."""
        await self._bus.connect()
        self._outlet = Outlet(self._bus)
        self._bus.add_message_handler(self._handle)
        await self._bus.call(
            Message(BUS, "/org/freedesktop/DBus", BUS, "AddMatch", signature="s", body=[GONE_RULE])
        )
        if plugged:
            self.adapter.show()
        reply = await self._bus.request_name(SERVICE, NameFlag.DO_NOT_QUEUE)
        if reply is not RequestNameReply.PRIMARY_OWNER:
            raise BleError(f"{SERVICE} is taken on this bus already ({reply.name})")

    async def stop(self, why: str) -> None:
        """Leave the bus, as a daemon that ends: no signal says so but the name's loss."""
        self._left = True
        self.adapter.close(why)
        if self._outlet is not None:
            self._outlet.close()
        self._bus.disconnect()
        await self._bus.wait_for_disconnect()  # type: ignore[no-untyped-call]  # dbus-fast's

    def transmit(self, station: Station, packet: Packet) -> None:
        """Put a packet on the air: record it, then signal it if anybody listens."""
        rssi_dbm = station.rssi_dbm()
        heard = self.adapter.hears(station, packet.advertisement, rssi_dbm)
        station.send(packet, heard=heard)
        if heard:
            self.adapter.carry(station, packet.advertisement, rssi_dbm)

    def overhear(self, address: str, advertisement: Advertisement, rssi_dbm: int) -> None:
        """A packet of a device that is no station."""
        if self.adapter.listens:
            self.peripherals.stranger(address, advertisement, rssi_dbm)

    def _send(self, message: Message) -> None:
        # A call that was answered while the daemon left has nobody to answer to.
        if not self._left and self._bus.connected and self._outlet is not None:
            self._outlet.send(message)

    def _handle(self, message: Message) -> bool:
        if message.message_type is MessageType.SIGNAL:
            if message.member == "NameOwnerChanged" and not message.body[2]:
                self.adapter.client_gone(message.body[0])
            return False
        if message.message_type is not MessageType.METHOD_CALL or message.interface is None:
            return False
        method = self._methods.get((message.interface, message.member or ""))
        if method is None:
            return False
        self._tasks.create_task(self._carry_out(method, message), name=f"bluez {message.member}")
        return True

    async def _carry_out(self, method: Method, call: Message) -> None:
        try:
            if call.interface != OBJECT_MANAGER:
                self._check_object(call)
            answer = await method(call)
        except Refusal as refusal:
            reply = Message.new_error(call, refusal.name, refusal.text)
        else:
            if answer is None:
                return
            reply = Message.new_method_return(call, *answer)
        self._send(reply)

    def _check_object(self, call: Message) -> None:
        interfaces = self.tree.objects.get(call.path or "")
        if interfaces is None or (call.interface != PROPERTIES and call.interface not in interfaces):
            raise Refusal.unknown_object(f"{call.interface} is not to be found at {call.path}")

    async def _managed(self, _: Message) -> Answer:
        return "a{oa{sa{sv}}}", [self.tree.objects]

    def _properties(self, call: Message) -> dict[str, Variant]:
        try:
            return self.tree.objects[call.path or ""][call.body[0]]
        except KeyError:
            raise Refusal.invalid_arguments(f"no interface {call.body[0]}") from None

    async def _get(self, call: Message) -> Answer:
        properties = self._properties(call)
        if call.body[1] not in properties:
            raise Refusal.invalid_arguments(f"no property {call.body[1]}")
        return "v", [properties[call.body[1]]]

    async def _get_all(self, call: Message) -> Answer:
        return "a{sv}", [self._properties(call)]

    async def _set(self, call: Message) -> Answer:
        interface, name, value = call.body
        if (call.path, interface, name) == (ADAPTER_PATH, ADAPTER_INTERFACE, "Powered"):
            self.adapter.power(bool(value.value), "Set Powered")
        elif (interface, name) == (DEVICE, "Trusted"):
            self.tree.change(call.path or "", DEVICE, {name: value})
        else:
            raise Refusal.read_only(f"{interface}.{name} cannot be set")
        return EMPTY

    async def _filter(self, call: Message) -> Answer:
        plain = {name: variant.value for name, variant in call.body[0].items()}
        self.adapter.set_filter(call.sender or "", plain)
        return EMPTY

    async def _start_discovery(self, call: Message) -> Answer:
        self.adapter.start_discovery(call.sender or "")
        return EMPTY

    async def _stop_discovery(self, call: Message) -> Answer:
        self.adapter.stop_discovery(call.sender or "")
        return EMPTY

    async def _register_monitor(self, call: Message) -> Answer:
        self.adapter.register_monitor(call.sender or "", call.body[0])
        return EMPTY

    async def _unregister_monitor(self, call: Message) -> Answer:
        self.adapter.unregister_monitor(call.sender or "", call.body[0])
        return EMPTY

    async def _remove_device(self, call: Message) -> Answer:
        self.peripherals.remove(call.body[0])
        return EMPTY

    async def _connect(self, call: Message) -> Answer:
        self.adapter.check_powered()
        await self.peripherals.connect(call.path or "")
        return EMPTY

    async def _disconnect(self, call: Message) -> Answer:
        self.peripherals.disconnect(call.path or "")
        return EMPTY

    async def _pair(self, call: Message) -> Answer:
        self.adapter.check_powered()
        await self.peripherals.connect(call.path or "")
        self.tree.change(
            call.path or "", DEVICE, {"Paired": Variant("b", True), "Bonded": Variant("b", True)}
        )
        return EMPTY

    async def _read(self, call: Message) -> Answer | None:
        value = await self.peripherals.read(call.path or "")
        return None if value is None else ("ay", [value])

    async def _write(self, call: Message) -> Answer | None:
        data, options = call.body
        response = "type" not in options or options["type"].value != "command"
        done = await self.peripherals.write(call.path or "", data, response=response)
        return EMPTY if done else None

    async def _start_notify(self, call: Message) -> Answer:
        self.peripherals.notify(call.path or "", on=True)
        return EMPTY

    async def _stop_notify(self, call: Message) -> Answer:
        self.peripherals.notify(call.path or "", on=False)
        return EMPTY
