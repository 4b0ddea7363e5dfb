"""The adapter: power, who discovers with which filter, and which packets therefore reach the bus."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dbus_fast import Variant

from gateway_sim.ble.conditions import BLUEZ_5_87, Conditions
from gateway_sim.ble.objects import ObjectTree
from gateway_sim.ble.peripheral import Peripherals
from gateway_sim.ble.refusal import Refusal
from gateway_sim.ble.sensors import Advertisement
from gateway_sim.ble.station import ADAPTER, ADAPTER_PATH, Station

ADAPTER_INTERFACE = "org.bluez.Adapter1"
MONITOR_MANAGER = "org.bluez.AdvertisementMonitorManager1"
ADDRESS = "00:1A:7D:DA:71:13"
RSSI_STEP_DBM = 8
"""A move of the signal strength that is signalled although the packet says nothing new."""


class Adapter:
    """`org.bluez.Adapter1` of hci0."""

    def __init__(
        self,
        tree: ObjectTree,
        peripherals: Peripherals,
        on_discovery: Callable[[bool, str], None],
        conditions: Conditions,
        *,
        powered: bool = True,
    ) -> None:
        self._tree, self._peripherals, self._on_discovery = tree, peripherals, on_discovery
        self._conditions = conditions
        self.powered = powered
        self._filters: dict[str, Mapping[str, object]] = {}
        self._sessions: set[str] = set()
        self._monitors: set[tuple[str, str]] = set()
        self._last: dict[str, tuple[Advertisement, int]] = {}

    @property
    def discovering(self) -> bool:
        return bool(self._sessions)

    @property
    def listens(self) -> bool:
        """Whether anything that is sent reaches anybody."""
        return bool(self._sessions or self._monitors) and self.powered and not self._conditions.deaf

    @property
    def plugged(self) -> bool:
        return ADAPTER_PATH in self._tree.objects

    def show(self) -> None:
        """Put the adapter's object on the bus."""
        properties = {
            "Address": Variant("s", ADDRESS),
            "AddressType": Variant("s", "public"),
            "Name": Variant("s", ADAPTER),
            "Alias": Variant("s", ADAPTER),
            "Class": Variant("u", 0),
            "Powered": Variant("b", self.powered),
            "Discoverable": Variant("b", False),
            "Pairable": Variant("b", False),
            "Discovering": Variant("b", False),
            "UUIDs": Variant("as", []),
            "Roles": Variant("as", ["central"]),
        }
        self._tree.add(ADAPTER_PATH, {ADAPTER_INTERFACE: properties, MONITOR_MANAGER: {}})

    def unplug(self) -> None:
        """The dongle is pulled: the adapter and its devices are gone, whatever was under way with them."""
        if not self.plugged:
            return
        self.close("unplugged")
        self._monitors.clear()
        self._filters.clear()
        self._conditions.power_off()
        self.powered = False
        self._tree.remove(ADAPTER_PATH)

    def plug(self) -> None:
        """It is back, without power until somebody switches it on."""
        if not self.plugged:
            self.show()

    def check_powered(self) -> None:
        if not self.powered:
            raise Refusal.bluez("NotReady", "Resource Not Ready")

    def set_filter(self, client: str, filters: Mapping[str, object]) -> None:
        """What a client wants to hear, from its next or running discovery on; empty takes it back."""
        if filters:
            self._filters[client] = filters
        else:
            self._filters.pop(client, None)

    def start_discovery(self, client: str) -> None:
        self.check_powered()
        if self._conditions.wedged or self._conditions.busy or client in self._sessions:
            raise Refusal.bluez("InProgress", "Operation already in progress")
        first = not self._sessions
        self._sessions.add(client)
        self._last.clear()
        if first:
            self._discovering(True, "StartDiscovery")

    def stop_discovery(self, client: str) -> None:
        self.check_powered()
        if client not in self._sessions:
            raise Refusal.bluez("Failed", "No discovery started")
        self._end(client, "StopDiscovery")

    def register_monitor(self, client: str, path: str) -> None:
        """A passive scan. As in BlueZ 5.66 it is told of changed packets alone."""
        if not self._conditions.passive:
            text = f'Method "RegisterMonitor" with interface "{MONITOR_MANAGER}" doesn\'t exist'
            raise Refusal("org.freedesktop.DBus.Error.UnknownMethod", text)
        self._monitors.add((client, path))

    def unregister_monitor(self, client: str, path: str) -> None:
        if (client, path) not in self._monitors:
            raise Refusal.bluez("DoesNotExist", "Does Not Exist")
        self._monitors.discard((client, path))

    def client_gone(self, client: str) -> None:
        """A client left the bus: its discovery ends with it."""
        self._filters.pop(client, None)
        self._monitors = {each for each in self._monitors if each[0] != client}
        self._end(client, "client gone")

    def power(self, on: bool, why: str) -> None:
        """Switch the adapter: without power nothing is heard and every connection drops. Discovery does not
        come back by itself."""
        if on == self.powered or not self.plugged:
            return
        if not on:
            self.close(why)
            self._peripherals.disconnect_all()
            self._conditions.power_off()
        self.powered = on
        self._tree.change(ADAPTER_PATH, ADAPTER_INTERFACE, {"Powered": Variant("b", on)})

    def close(self, why: str) -> None:
        """End discovery for everybody."""
        for client in tuple(self._sessions):
            self._end(client, why)

    def hears(self, station: Station, advertisement: Advertisement, rssi_dbm: int) -> bool:
        """Whether a packet is signalled to anybody; a filter of UUIDs looks at what the packet lists."""
        if not self.listens:
            return False
        last = self._last.get(station.path)
        news = last is None or last[0] != advertisement
        moved = last is not None and abs(last[1] - rssi_dbm) >= RSSI_STEP_DBM
        if self._monitors and news:
            return True
        filters = (self._filters.get(client) for client in self._sessions)
        return any(self._lets_through(each, advertisement, news or moved) for each in filters)

    def carry(self, station: Station, advertisement: Advertisement, rssi_dbm: int) -> None:
        """Signal a packet that is heard."""
        self._last[station.path] = advertisement, rssi_dbm
        self._peripherals.seen(station, advertisement, rssi_dbm)

    def _lets_through(
        self, filters: Mapping[str, object] | None, advertisement: Advertisement, news: bool
    ) -> bool:
        """The rules of BlueZ: whoever filters is told of everything up to 5.86; from 5.87 on, and always who
        does not filter, of new data and of moves of the signal's strength, unless it asked for duplicates."""
        everything = bool(filters) and self._conditions.bluez < BLUEZ_5_87
        if not (news or everything or (filters or {}).get("DuplicateData")):
            return False
        wanted = (filters or {}).get("UUIDs")
        return not isinstance(wanted, list) or not wanted or bool(set(wanted) & set(advertisement.uuids))

    def _end(self, client: str, why: str) -> None:
        if client not in self._sessions:
            return
        self._sessions.discard(client)
        if not self._sessions:
            self._discovering(False, why)
            self._peripherals.discovery_ended()

    def _discovering(self, on: bool, why: str) -> None:
        self._on_discovery(on, why)
        self._tree.change(ADAPTER_PATH, ADAPTER_INTERFACE, {"Discovering": Variant("b", on)})
