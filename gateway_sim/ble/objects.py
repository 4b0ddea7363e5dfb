"""The objects that `org.bluez` shows on the bus, and the signals that tell of their changes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from dbus_fast import Message, Variant

OBJECT_MANAGER = "org.freedesktop.DBus.ObjectManager"
PROPERTIES = "org.freedesktop.DBus.Properties"
Properties = dict[str, Variant]
Interfaces = dict[str, Properties]


class ObjectTree:
    """Paths, their interfaces and properties; `send` puts a signal on the bus."""

    def __init__(self, send: Callable[[Message], object]) -> None:
        self.objects: dict[str, Interfaces] = {}
        self._send = send

    def add(self, path: str, interfaces: Interfaces) -> None:
        """Show an object (InterfacesAdded)."""
        self.objects[path] = interfaces
        self._send(
            Message.new_signal("/", OBJECT_MANAGER, "InterfacesAdded", "oa{sa{sv}}", [path, interfaces])
        )

    def remove(self, path: str) -> None:
        """Take an object and all below it away, the lowest first (InterfacesRemoved)."""
        for gone in sorted((p for p in self.objects if p == path or p.startswith(path + "/")), reverse=True):
            names = list(self.objects.pop(gone))
            self._send(Message.new_signal("/", OBJECT_MANAGER, "InterfacesRemoved", "oas", [gone, names]))

    def change(
        self, path: str, interface: str, changed: Mapping[str, Variant], invalidated: Sequence[str] = ()
    ) -> None:
        """Change properties and say so in one signal (PropertiesChanged)."""
        properties = self.objects[path][interface]
        properties.update(changed)
        for name in invalidated:
            properties.pop(name, None)
        body = [interface, dict(changed), list(invalidated)]
        self._send(Message.new_signal(path, PROPERTIES, "PropertiesChanged", "sa{sv}as", body))

    def value(self, path: str, interface: str, name: str) -> object:
        """A property's plain value, None where it is not set."""
        variant = self.objects[path][interface].get(name)
        return None if variant is None else variant.value
