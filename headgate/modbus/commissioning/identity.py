"""What a unit says of itself: device identification, server id, and whether it bears the SunSpec marker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from headgate.errors import Retry
from headgate.modbus.client import CONFIGURATION_EXCEPTIONS, ExceptionReply, OutOfReach
from headgate.modbus.commissioning.asker import Asker
from headgate.modbus.inquiry import (
    ASK_SERVER_ID,
    BASIC,
    ENCAPSULATED,
    EXTENDED,
    OBJECT_NAMES,
    REGULAR,
    Code,
    Inquiry,
    read_objects,
    read_server_id,
)
from headgate.modbus.work import Ask

SUNSPEC_BASES = (40000, 0, 50000)
SUNSPEC_MARKER = (0x5375, 0x6E53)
""""SunS", and where it may lie (SunSpec Device Information Model Specification V1.2, 6.2)."""
_CODES: tuple[Code, ...] = (BASIC, REGULAR, EXTENDED)
_MAX_REPLIES = 64
"""Of one stream of objects: a device that always has more to say has a fault."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a unit said; `objects` by their ids. `sunspec`: where the marker lies, None where it does not.

    `notes`: of what was asked in vain, why.
    """

    objects: Mapping[int, bytes] = field(default_factory=dict)
    conformity: int | None = None
    server_id: bytes | None = None
    sunspec: int | None = None
    notes: tuple[str, ...] = ()

    def title(self) -> str:
        """Vendor, product and revision in a line; empty where it does not say."""
        named = [readable(self.objects[key]) for key in (0, 1, 2) if self.objects.get(key)]
        return " ".join(named)

    def as_json(self) -> dict[str, Any]:
        """For `--json`: objects by their names, or `object_0x80`."""
        objects = {object_name(key): readable(value) for key, value in self.objects.items()}
        return {
            "objects": objects,
            "conformity": self.conformity,
            "server_id": None if self.server_id is None else self.server_id.hex(" "),
            "sunspec": self.sunspec,
            "notes": list(self.notes),
        }


def object_name(number: int) -> str:
    """An object's name in the standard, or its number."""
    return OBJECT_NAMES.get(number, f"object_0x{number:02x}")


def readable(data: bytes) -> str:
    """Bytes as text where they are text (padding is taken off), else as hexadecimal digits."""
    text = data.rstrip(b"\0 ").decode("latin-1")
    return text if text.isprintable() else data.hex(" ")


async def identify(asker: Asker, unit: int, *, quick: bool = False) -> Identity:
    """Ask a unit for everything that it says of itself; `quick`: only the basic objects.

    What it refuses, or leaves without an answer, is in the notes. Raises OutOfReach.
    """
    notes: list[str] = []
    objects, conformity = await _objects(asker, unit, _CODES[:1] if quick else _CODES, notes)
    if quick:
        return Identity(objects, conformity, notes=tuple(notes))
    server_id: bytes | None = None
    try:
        server_id = read_server_id(await asker.inquire(unit, ASK_SERVER_ID))
    except OutOfReach:
        raise
    except (ExceptionReply, Retry) as error:
        notes.append(f"server id (17): {error}")
    return Identity(objects, conformity, server_id, await sunspec_base(asker, unit), tuple(notes))


async def sunspec_base(asker: Asker, unit: int) -> int | None:
    """Where the SunSpec marker lies, from 0; None where it is nowhere. Raises OutOfReach."""
    for base in SUNSPEC_BASES:
        try:
            found = await asker.read(unit, Ask("holding", base, len(SUNSPEC_MARKER)))
        except OutOfReach:
            raise
        except (ExceptionReply, Retry):
            continue
        if tuple(found) == SUNSPEC_MARKER:
            return base
    return None


async def _objects(
    asker: Asker, unit: int, codes: tuple[Code, ...], notes: list[str]
) -> tuple[dict[int, bytes], int | None]:
    objects: dict[int, bytes] = {}
    conformity: int | None = None
    for code in codes:
        if conformity is not None and code > conformity & 0x7F:
            break
        try:
            first: int | None = 0
            for _ in range(_MAX_REPLIES):
                if first is None:
                    break
                asked = Inquiry(ENCAPSULATED, code, first)
                said = read_objects(await asker.inquire(unit, asked), asked)
                objects |= said.objects
                conformity, first = said.conformity, said.next_object
        except OutOfReach:
            raise
        except (ExceptionReply, Retry) as error:
            notes.append(f"device identification (43/14, code {code}): {error}")
            if _final(error):
                break
    return objects, conformity


def _final(error: Exception) -> bool:
    """Whether the next code would be asked in vain too."""
    return not isinstance(error, ExceptionReply) or error.code in CONFIGURATION_EXCEPTIONS
