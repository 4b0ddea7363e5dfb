"""What a unit says of itself: device identification, server id, and its SunSpec map."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from headgate.modbus.planner import Span
from headgate.modbus.sunspec.walk import Map, NotSunSpec, carried, find, walk
from headgate.modbus.work import Ask

_CODES: tuple[Code, ...] = (BASIC, REGULAR, EXTENDED)
_MAX_REPLIES = 64
"""Of one stream of objects: a device that always has more to say has a fault."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a unit said; `objects` by their ids. `sunspec`: its map, without models where only the marker is
    there; None where not even that.

    `notes`: of what was asked in vain, why.
    """

    objects: Mapping[int, bytes] = field(default_factory=dict)
    conformity: int | None = None
    server_id: bytes | None = None
    sunspec: Map | None = None
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
            "sunspec": map_json(self.sunspec),
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
    return Identity(objects, conformity, server_id, await sunspec_map(asker, unit), tuple(notes))


async def sunspec_map(asker: Asker, unit: int) -> Map | None:
    """A unit's SunSpec map; see `Identity.sunspec`. Raises OutOfReach."""

    async def read(span: Span) -> Sequence[int] | None:
        try:
            return await asker.read(unit, Ask("holding", span.address, span.count))
        except OutOfReach:
            raise
        except (ExceptionReply, Retry):
            return None

    try:
        base = await carried(find(), read)
    except NotSunSpec:
        return None
    try:
        return await carried(walk(base), read)
    except NotSunSpec:
        return Map(base, ())


def map_json(found: Map | None) -> dict[str, Any] | None:
    """A map for `--json`: where it begins, its models' ids, and who the common model says that it is."""
    if found is None:
        return None
    said = found.identity
    about = {"manufacturer": said.manufacturer, "model": said.model, "version": said.version}
    return {
        "base": found.base,
        "models": [model.id for model in found.models],
        **about,
        "serial": said.serial,
    }


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
