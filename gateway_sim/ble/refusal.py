"""A D-Bus error as the answer to a call."""

from __future__ import annotations


class Refusal(Exception):
    """The error's name and text, as BlueZ (doc/org.bluez.*.rst) and the D-Bus specification have them."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name, self.text = name, text

    @classmethod
    def bluez(cls, word: str, text: str) -> Refusal:
        """One of BlueZ's own: `org.bluez.Error.<word>`."""
        return cls(f"org.bluez.Error.{word}", text)

    @classmethod
    def unknown_object(cls, text: str) -> Refusal:
        return cls("org.freedesktop.DBus.Error.UnknownObject", text)

    @classmethod
    def invalid_arguments(cls, text: str) -> Refusal:
        return cls("org.freedesktop.DBus.Error.InvalidArgs", text)

    @classmethod
    def read_only(cls, text: str) -> Refusal:
        return cls("org.freedesktop.DBus.Error.PropertyReadOnly", text)
