"""The objects of BTHome that are no plain integers: texts, events, firmware versions (bthome.io/format)."""

from __future__ import annotations

from collections.abc import Callable
from types import EllipsisType

from headgate.ble.decoders.bthome_objects import BUTTON_EVENTS, COMMANDS, MOST_ALIKE, ROTATIONS
from headgate.ble.decoders.quantity import Raw

ARGUMENTS = 0x1F
"""A command's next byte: how many bytes of arguments follow its code; the three high bits are reserved."""

NOTHING = ...
"""In place of a raw: the object says nothing, yet it counts as one of its kind."""


class Unnamed(str):
    """The number of an event that has no name here: doubtful, and yet what the device said."""

    __slots__ = ()


class Alike:
    """Gives the objects of one packet their tags: the second of a tag is `temperature_2`, and so on."""

    def __init__(self, raw: dict[str, Raw]) -> None:
        self.doubtful: list[str] = []
        self._raw = raw
        self._seen = dict.fromkeys(raw, 1)

    def add(self, tag: str, value: Raw | EllipsisType) -> None:
        """Add what an object says; beyond what has a series it is left out."""
        number = self._seen[tag] = self._seen.get(tag, 0) + 1
        if value is NOTHING or number > MOST_ALIKE:
            return
        name = tag if number == 1 else f"{tag}_{number}"
        if isinstance(value, Unnamed):
            self.doubtful.append(name)
        if not isinstance(value, EllipsisType):
            self._raw[name] = value


def read_text(content: bytes) -> Raw:
    """UTF-8; None where it is none."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None


def read_button(content: bytes) -> Raw | EllipsisType:
    """The event's name."""
    return (BUTTON_EVENTS.get(content[0]) or _unnamed(content)) if content[0] else NOTHING


def read_dimmer(content: bytes) -> Raw | EllipsisType:
    """The steps it was turned: to the left below 0."""
    if not content[0]:
        return NOTHING
    direction = ROTATIONS.get(content[0])
    return None if direction is None else direction * content[1]


def read_command(content: bytes) -> Raw:
    """The command's name and its arguments: one as a number, more in hex."""
    name, arguments = COMMANDS.get(content[0]), content[1:]
    if name is None:
        return _unnamed(content)
    if not arguments:
        return name
    return f"{name} {arguments[0]}" if len(arguments) == 1 else f"{name} {arguments.hex()}"


def read_firmware(content: bytes) -> Raw:
    """Its numbers, the last of which comes first on the air."""
    return ".".join(map(str, reversed(content)))


def _unnamed(content: bytes) -> Unnamed:
    return Unnamed(f"0x{content.hex()}")


SPECIAL: dict[int, tuple[str, int, Callable[[bytes], Raw | EllipsisType]]] = {
    0x3A: ("button", 1, read_button),
    0x3B: ("command", 0, read_command),
    0x3C: ("dimmer", 2, read_dimmer),
    0x53: ("text", 0, read_text),
    0x54: ("raw", 0, bytes.hex),
    0xF1: ("firmware", 4, read_firmware),
    0xF2: ("firmware", 3, read_firmware),
}
"""By object id the tag, the size in bytes (0: said by the next byte), and what reads it."""
COMMAND = 0x3B


def content_bounds(data: bytes, at: int) -> tuple[int, int]:
    """Where the content of the special object at `at` begins and ends; the end may be beyond the data's."""
    size = SPECIAL[data[at]][1]
    if size:
        return at + 1, at + 1 + size
    if at + 1 >= len(data):
        return at + 2, at + 2
    length = 1 + (data[at + 1] & ARGUMENTS) if data[at] == COMMAND else data[at + 1]
    return at + 2, at + 2 + length
