"""The adapter: power, who discovers with which filter, and which packets therefore reach the bus."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from dbus_fast import Variant

from gateway_sim.ble.objects import ObjectTree
from gateway_sim.ble.peripheral import Peripherals
from gateway_sim.ble.refusal import Refusal
from gateway_sim.ble.sensors import Advertisement
from gateway_sim.ble.station import ADAPTER, ADAPTER_PATH, Station

ADAPTER_INTERFACE = "org.bluez.Adapter1"
ADDRESS = "00:1A:7D:DA:71:13"


class Adapter:
    """`org.bluez.Adapter1` of hci0. `wedged`: the kernel still scans for a daemon that was killed, and
    refuses to begin (InProgress) until the power has been off."""

    def __init__(
        self,
        tree: ObjectTree,
        peripherals: Peripherals,
        on_discovery: Callable[[bool, str], None],
        *,
        wedged: bool,
    ) -> None:
        self._tree, self._peripherals, self._on_discovery = tree, peripherals, on_discovery
        self.wedged = wedged
        self.powered = True
        self._filters: dict[str, Mapping[str, object]] = {}
        self._sessions: set[str] = set()
        self._last: dict[str, Advertisement] = {}

    @property
    def discovering(self) -> bool:
        return bool(self._sessions)

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
        self._tree.add(ADAPTER_PATH, {ADAPTER_INTERFACE: properties})

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
        if self.wedged or client in self._sessions:
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

    def client_gone(self, client: str) -> None:
        """A client left the bus: its discovery ends with it."""
        self._filters.pop(client, None)
        self._end(client, "client gone")

    def power(self, on: bool, why: str) -> None:
        """Switch the adapter: without power nothing is heard and every connection drops. Discovery does not
        come back by itself."""
        if on == self.powered:
            return
        if not on:
            self.close(why)
            self._peripherals.disconnect_all()
            self.wedged = False
        self.powered = on
        self._tree.change(ADAPTER_PATH, ADAPTER_INTERFACE, {"Powered": Variant("b", on)})

    def close(self, why: str) -> None:
        """End discovery for everybody."""
        for client in tuple(self._sessions):
            self._end(client, why)

    def hears(self, path: str, advertisement: Advertisement) -> bool:
        """Whether a packet reaches anybody. One that repeats the last reaches those who asked for
        DuplicateData; a filter of UUIDs looks at what the packet lists."""
        repeated = self._last.get(path) == advertisement
        return any(_lets_through(self._filters.get(c, {}), advertisement, repeated) for c in self._sessions)

    def carry(self, station: Station, advertisement: Advertisement) -> None:
        """Signal a packet that is heard."""
        self._last[station.path] = advertisement
        self._peripherals.seen(station, advertisement)

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


def _lets_through(filters: Mapping[str, object], advertisement: Advertisement, repeated: bool) -> bool:
    if repeated and not filters.get("DuplicateData"):
        return False
    wanted = filters.get("UUIDs")
    return not isinstance(wanted, list) or not wanted or bool(set(wanted) & set(advertisement.uuids))
