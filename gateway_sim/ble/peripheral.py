"""The devices as the daemon knows them: seen, connected, their GATT objects, and forgotten again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping

from dbus_fast import Variant

from gateway_sim.ble import ess
from gateway_sim.ble.conditions import Conditions
from gateway_sim.ble.objects import Interfaces, ObjectTree, Properties
from gateway_sim.ble.refusal import Refusal
from gateway_sim.ble.sensors import Advertisement
from gateway_sim.ble.station import ADAPTER_PATH, Station

DEVICE = "org.bluez.Device1"
GATT_SERVICE = "org.bluez.GattService1"
CHARACTERISTIC = "org.bluez.GattCharacteristic1"
SERVICE_NODE = "service000a"
FIRST_HANDLE = 0x000B
CONNECT_S, READ_S = 0.03, 0.005
"""About one connection interval's worth of a fast peripheral."""
TEMPORARY_S = 30.0
"""BlueZ forgets an unpaired device this long after it was last seen (main.conf, TemporaryTimeout)."""
CONNECT_LIMIT_S = 20.0
"""The kernel gives up a connection to a device that does not answer (LE_CONN_TIMEOUT)."""


class Peripherals:
    """Device1 and the GATT objects below it."""

    def __init__(
        self,
        tree: ObjectTree,
        stations: Mapping[str, Station],
        monotonic_s: Callable[[], float],
        conditions: Conditions,
    ) -> None:
        self._tree, self._stations, self._monotonic_s = tree, stations, monotonic_s
        self._conditions = conditions
        self._seen_s: dict[str, float] = {}
        self._stuck: set[str] = set()

    def seen(self, station: Station, advertisement: Advertisement, rssi_dbm: int) -> None:
        """A packet came in: the device appears, or its properties change, in one signal."""
        self._seen_s[station.path] = self._monotonic_s()
        heard = _heard(advertisement, rssi_dbm)
        if station.path in self._tree.objects:
            self._tree.change(station.path, DEVICE, heard)
        else:
            device = station.device
            self._tree.add(
                station.path, {DEVICE: {**_unknown_device(device.address, device.name, "public"), **heard}}
            )

    def stranger(self, address: str, advertisement: Advertisement, rssi_dbm: int) -> None:
        """A device that nobody knows came by, as phones do under ever new random addresses."""
        path = f"{ADAPTER_PATH}/dev_{address.replace(':', '_')}"
        self._seen_s[path] = self._monotonic_s()
        self._tree.add(
            path, {DEVICE: {**_unknown_device(address, "", "random"), **_heard(advertisement, rssi_dbm)}}
        )

    def discovery_ended(self) -> None:
        """BlueZ then takes back how strong each device was."""
        for path in self._known():
            if "RSSI" in self._tree.objects[path][DEVICE]:
                self._tree.change(path, DEVICE, {}, ["RSSI"])

    def forget(self) -> None:
        """Remove devices that were not seen for a while and are neither connected nor paired."""
        for path in tuple(self._known()):
            kept = self.is_connected(path) or self._tree.value(path, DEVICE, "Paired")
            if not kept and self._monotonic_s() - self._seen_s[path] > TEMPORARY_S:
                self._tree.remove(path)
                del self._seen_s[path]

    def remove(self, path: str) -> None:
        if path not in self._tree.objects or path not in self._stations:
            raise Refusal.bluez("DoesNotExist", "Does Not Exist")
        self.disconnect(path)
        self._tree.remove(path)

    def is_connected(self, path: str) -> bool:
        return path in self._tree.objects and bool(self._tree.value(path, DEVICE, "Connected"))

    async def connect(self, path: str) -> None:
        """Connect and resolve the services; nothing happens where that is so already."""
        station = self._stations[path]
        if self.is_connected(path):
            return
        if not station.sensor.connectable:
            raise Refusal.bluez("Failed", "le-connection-abort-by-local")
        away = station.device.name in self._conditions.absent or self._conditions.hang_connects
        await asyncio.sleep(CONNECT_LIMIT_S if away else CONNECT_S)
        if away or path not in self._tree.objects:
            raise Refusal.bluez("Failed", "le-connection-abort-by-local")
        station.connected()
        self._tree.change(path, DEVICE, {"Connected": Variant("b", True)})
        for below, interfaces in _gatt_objects(station):
            self._tree.add(below, interfaces)
        self._tree.change(path, DEVICE, {"ServicesResolved": Variant("b", True)})

    def disconnect(self, path: str) -> None:
        """End the connection, if there is one."""
        self._stuck.discard(path)
        if not self.is_connected(path):
            return
        off = Variant("b", False)
        self._tree.remove(f"{path}/{SERVICE_NODE}")
        self._tree.change(path, DEVICE, {"ServicesResolved": off, "Connected": off})

    def connected(self) -> set[str]:
        """The paths of all that are connected."""
        return {path for path in self._known() if self.is_connected(path)}

    def disconnect_all(self) -> None:
        for path in tuple(self._known()):
            self.disconnect(path)

    async def read(self, path: str) -> bytes | None:
        """A characteristic's value, recorded as read; None when reads hang."""
        if self._conditions.hang_reads or _device_of(path) in self._stuck:
            return None
        await asyncio.sleep(READ_S)
        if path not in self._tree.objects:
            raise Refusal.bluez("Failed", "Not connected")
        station, tag = self._place(path)
        # No await from here to the reply: what is recorded as answered is answered.
        value = station.setting(tag) if tag in station.settings else station.read(tag)
        self._tree.objects[path][CHARACTERISTIC]["Value"] = Variant("ay", value)
        return value

    async def write(self, path: str, data: bytes, *, response: bool) -> bool:
        """Write a characteristic, or do what the conditions say; whether there is an answer."""
        await asyncio.sleep(READ_S)
        if path not in self._tree.objects:
            raise Refusal.bluez("Failed", "Not connected")
        station, tag = self._place(path)
        how = self._conditions.writes
        if tag not in station.settings or how == "refuse":
            raise Refusal.bluez("NotPermitted", "Write not permitted")
        if len(data) != len(station.settings[tag]):
            raise Refusal.bluez("InvalidArguments", "Invalid Length")
        station.write(tag, data, response=response, taken=how in ("take", "drop"))
        if how == "hang":
            # The next request of a connection waits for the answer to this one (Core, Vol 3, Part F, 3.3.2).
            self._stuck.add(station.path)
            return not response
        if how in ("drop", "lose"):
            self.disconnect(station.path)
            if response:
                raise Refusal.bluez("Failed", "Operation failed with ATT error: 0x0e (Unlikely Error)")
        return True

    def notify(self, path: str, *, on: bool) -> None:
        self._tree.change(path, CHARACTERISTIC, {"Notifying": Variant("b", on)})

    def tick(self, station: Station) -> None:
        """Send what a connected station notifies."""
        for path, interfaces in tuple(self._tree.objects.items()):
            of_it = path.startswith(station.path + "/") and CHARACTERISTIC in interfaces
            if of_it and interfaces[CHARACTERISTIC]["Notifying"].value:
                value = station.glance(self._place(path)[1])
                self._tree.change(path, CHARACTERISTIC, {"Value": Variant("ay", value)})

    def _known(self) -> Iterator[str]:
        return (path for path in self._seen_s if path in self._tree.objects)

    def _place(self, path: str) -> tuple[Station, str]:
        """Whose characteristic an object is, and the tag that it shows, or the UUID of a setting."""
        device, _, node = path.partition(f"/{SERVICE_NODE}/char")
        station = self._stations[device]
        shown = (*ess.CHARACTERISTICS, *station.settings)
        return station, shown[(int(node, 16) - FIRST_HANDLE) // 2]


def _device_of(path: str) -> str:
    """The device that a GATT object is of."""
    return path.partition(f"/{SERVICE_NODE}")[0]


def _unknown_device(address: str, name: str, kind: str) -> Properties:
    off = Variant("b", False)
    return {
        "Address": Variant("s", address),
        "AddressType": Variant("s", kind),
        **({"Name": Variant("s", name)} if name else {}),
        "Alias": Variant("s", name or address.replace(":", "-")),
        "Adapter": Variant("o", ADAPTER_PATH),
        **dict.fromkeys(("Paired", "Bonded", "Trusted", "Blocked", "LegacyPairing"), off),
        "Connected": off,
        "ServicesResolved": off,
        "UUIDs": Variant("as", []),
    }


def _heard(advertisement: Advertisement, rssi_dbm: int) -> Properties:
    services = {uuid: Variant("ay", data) for uuid, data in advertisement.service_data.items()}
    makers = {number: Variant("ay", data) for number, data in advertisement.manufacturer_data.items()}
    return {
        "RSSI": Variant("n", rssi_dbm),
        **({"UUIDs": Variant("as", list(advertisement.uuids))} if advertisement.uuids else {}),
        **({"ServiceData": Variant("a{sv}", services)} if services else {}),
        **({"ManufacturerData": Variant("a{qv}", makers)} if makers else {}),
    }


def _gatt_objects(station: Station) -> Iterator[tuple[str, Interfaces]]:
    """The service and its characteristics, each with a handle for its declaration and one for its value."""
    service = f"{station.path}/{SERVICE_NODE}"
    yield (
        service,
        {
            GATT_SERVICE: {
                "UUID": Variant("s", ess.uuid(ess.SERVICE)),
                "Primary": Variant("b", True),
                "Device": Variant("o", station.path),
                "Includes": Variant("ao", []),
            }
        },
    )
    served = [(ess.uuid(number), ["read", "notify"]) for number, _, _ in ess.CHARACTERISTICS.values()]
    served += [(uuid, ["read", "write", "write-without-response"]) for uuid in station.settings]
    for index, (uuid, flags) in enumerate(served):
        properties = {
            "UUID": Variant("s", uuid),
            "Service": Variant("o", service),
            "Value": Variant("ay", b""),
            "Notifying": Variant("b", False),
            "Flags": Variant("as", flags),
            "MTU": Variant("q", 23),
        }
        yield f"{service}/char{FIRST_HANDLE + 2 * index:04x}", {CHARACTERISTIC: properties}
