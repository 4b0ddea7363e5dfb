"""Finds a device's SunSpec map and walks its models: what to read next, given what came; pure.

Each function is a generator that yields what it wants to read, a `Span` of one table (holding, or whatever
the caller searches), and is sent the registers, or None where the device refused with an exception; `carried`
and `carried_at_once` do that. A lost reply is the caller's: it may repeat the read, or drop the generator.

SunSpec Device Information Model Specification 1.1, chapter 6 (the map in Modbus).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Generator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from headgate.errors import HeadgateError
from headgate.modbus.planner import Span

T = TypeVar("T")
Steps = Generator[Span, Sequence[int] | None, T]
"""Yields reads, is sent registers or None (refused), and returns what was found."""

BASES = (40000, 0, 50000)
"""Addresses where a map may begin, the usual one first."""
MARK = (0x5375, 0x6E53)
""""SunS"."""
END = 0xFFFF
"""The model id that ends a map."""
HEAD = 2
"""Registers of a model before its length begins to count: id and length."""
COMMON = 1
MAX_MODELS = 256
"""More models than that are no map, but a device that answers anything."""
ADDRESSES = 65_536
PIECE = 64
"""Registers that are read at once before anything is known of the device's limit."""


class NotSunSpec(HeadgateError):
    """The device answers, but has no SunSpec map there."""


class NoModel(HeadgateError):
    """The device refuses what its map says it has."""


@dataclass(frozen=True, slots=True)
class ModelAt:
    """A model of a device: `address` is that of its id, `length` what the device says follows the length."""

    id: int
    address: int
    length: int

    @property
    def span(self) -> Span:
        """All of its registers, id and length among them."""
        return Span(self.address, HEAD + self.length)


@dataclass(frozen=True, slots=True)
class Identity:
    """What the common model says of the device; empty where it says nothing."""

    manufacturer: str = ""
    model: str = ""
    options: str = ""
    version: str = ""
    serial: str = ""

    def __str__(self) -> str:
        """In a line, for people."""
        named = " ".join(part for part in (self.manufacturer, self.model) if part) or "an unnamed device"
        more = [f"version {self.version}"] if self.version else []
        more += [f"serial {self.serial}"] if self.serial else []
        return f"{named} ({', '.join(more)})" if more else named


@dataclass(frozen=True, slots=True)
class Map:
    """A device's models in their order. `ended`: an end was there, rather than the device's last word."""

    base: int
    models: tuple[ModelAt, ...]
    identity: Identity = Identity()
    ended: bool = True


def find(bases: Sequence[int] = BASES) -> Steps[int]:
    """The address of "SunS". Raises NotSunSpec."""
    seen = []
    for base in bases:
        registers = yield Span(base, len(MARK))
        if registers is not None and tuple(registers) == MARK:
            return base
        said = "refused" if registers is None else " ".join(f"{register:04X}" for register in registers)
        seen.append(f"{base}: {said}")
    raise NotSunSpec(f'no "SunS" (5375 6E53) at {", ".join(seen)}')


def walk(base: int) -> Steps[Map]:
    """The models behind a "SunS" at `base`, and who the device is. Raises NotSunSpec: they are no models."""
    models: list[ModelAt] = []
    address, ended = base + len(MARK), False
    while address <= ADDRESSES - HEAD and len(models) < MAX_MODELS:
        head = yield Span(address, HEAD)
        if head is None:
            # Some devices have an end without a length (as pysunspec2 found).
            alone = yield Span(address, 1)
            ended = alone is not None and alone[0] == END
            break
        number, length = head
        if number == END:
            ended = True
            break
        if number == 0 or address + HEAD + length > ADDRESSES:
            raise NotSunSpec(f"no model at {address}: it says id {number}, length {length}")
        models.append(ModelAt(number, address, length))
        address += HEAD + length
    if not models or len(models) == MAX_MODELS:
        raise NotSunSpec(f'{len(models)} models behind "SunS" at {base}, which is no map')
    identity = yield from identify(models[0])
    return Map(base, tuple(models), identity, ended)


def discover(bases: Sequence[int] = BASES) -> Steps[Map]:
    """`find` and `walk`."""
    base = yield from find(bases)
    return (yield from walk(base))


def identify(model: ModelAt) -> Steps[Identity]:
    """What a common model says; nothing of any other model, or where it is refused."""
    sizes = (16, 16, 8, 8, 16)
    if model.id != COMMON or model.length < sum(sizes):
        return Identity()
    registers = yield from read_whole(Span(model.address + HEAD, sum(sizes)))
    if registers is None:
        return Identity()
    texts, at = [], 0
    for size in sizes:
        texts.append(_text(registers[at : at + size]))
        at += size
    return Identity(*texts)


def read_whole(span: Span, piece: int = PIECE) -> Steps[list[int] | None]:
    """A range in as few reads as the device takes; None where it refuses a register of it."""
    registers: list[int] = []
    while len(registers) < span.count:
        at = span.address + len(registers)
        found = yield Span(at, min(piece, span.end - at))
        if found is not None:
            registers += found
        elif piece > 1:
            piece //= 2
        else:
            return None
    return registers


def longest_read(models: Sequence[ModelAt], most: int) -> Steps[int]:
    """How many registers the device gives at once, up to `most`, as far as reading these models needs it.

    Raises NoModel: it refuses every length.
    """
    for model in sorted(models, key=lambda model: -model.length):
        count = min(model.span.count, most)
        while (yield Span(model.address, count)) is None:
            if count <= HEAD:
                raise NoModel(f"the device refuses to read its model {model.id} at {model.address}")
            most = count = max(count // 2, HEAD)
        if model.span.count <= most:
            break  # shorter models are read as one, too
    return most


async def carried(steps: Steps[T], read: Callable[[Span], Awaitable[Sequence[int] | None]]) -> T:
    """Carry out a search. `read` gives registers, None where the device refuses; what it raises ends it."""
    try:
        span = next(steps)
        while True:
            span = steps.send(await read(span))
    except StopIteration as end:
        found: T = end.value
        return found


def carried_at_once(steps: Steps[T], read: Callable[[Span], Sequence[int] | None]) -> T:
    """`carried` where reading takes no waiting."""
    try:
        span = next(steps)
        while True:
            span = steps.send(read(span))
    except StopIteration as end:
        found: T = end.value
        return found


def _text(registers: Sequence[int]) -> str:
    """A string's printable part."""
    data = b"".join(register.to_bytes(2, "big") for register in registers).partition(b"\0")[0]
    return "".join(c for c in data.decode("utf-8", "replace") if c.isprintable()).strip()
