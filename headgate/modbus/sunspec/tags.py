"""From a model on a device to tags: where each point lies there, in which form, under which name; pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from functools import lru_cache

from headgate.modbus.planner import Span
from headgate.modbus.sunspec.definitions import Definition, Point, PointGroup, load
from headgate.modbus.sunspec.options import Enums, SunSpec
from headgate.modbus.sunspec.walk import HEAD, ModelAt, NoModel, Steps
from headgate.modbus.tags import Head, Tag
from headgate.modbus.types import Form, Scaling
from headgate.model import NAME_PART

ANY = ""
"""Among counts: what counts the groups for which the definition names no point (type `count`)."""
MAX_REPEATS = 512
"""More groups than that are a wrong count."""

_TYPES: Mapping[str, str] = {
    "acc16": "uint16",
    "acc32": "uint32",
    "acc64": "uint64",
    "bitfield16": "uint16",
    "bitfield32": "uint32",
    "bitfield64": "uint64",
    "count": "uint16",
    "enum16": "uint16",
    "enum32": "uint32",
    "sunssf": "int16",
}
"""SunSpec's types as ours, where they are called differently."""
_ABSENT: Mapping[str, int] = {
    "int16": -0x8000,
    "int32": -0x8000_0000,
    "int64": -0x8000_0000_0000_0000,
    "sunssf": -0x8000,
    "uint16": 0xFFFF,
    "uint32": 0xFFFF_FFFF,
    "uint64": 0xFFFF_FFFF_FFFF_FFFF,
    "count": 0xFFFF,
    "enum16": 0xFFFF,
    "enum32": 0xFFFF_FFFF,
    "bitfield16": 0xFFFF,
    "bitfield32": 0xFFFF_FFFF,
    "bitfield64": 0xFFFF_FFFF_FFFF_FFFF,
    "acc16": 0,
    "acc32": 0,
    "acc64": 0,
    "string": 0,
}
"""What stands for "not implemented", by type (Device Information Model Specification 1.1, 4.3 to 4.5).

A float's is NaN, which is no value anyway; of an accumulator 0 is "not accumulated"; a string's is all NUL.
"""


@dataclass(slots=True)
class _Scope:
    """Where the points around lie: scale factors, and counts that were read."""

    addresses: dict[str, int] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Placed:
    """A point on a device: `path` are the groups around it, `scale` its scale factor's address."""

    path: tuple[str, ...]
    point: Point
    address: int
    scale: int | None

    @property
    def name(self) -> str:
        """As in `module1.DCW`."""
        return ".".join((*self.path, self.point.name))


def counts(definition: Definition, model: ModelAt) -> Steps[dict[str, int]]:
    """What the points say that count a model's groups. Raises NoModel."""
    found = {}
    wanted = set(_counting(definition.group))
    address = model.address
    for point in definition.group.points:
        if (point.name in wanted or point.type == "count") and address < model.span.end:
            registers = yield Span(address, 1)
            if registers is None:
                raise NoModel(f"the device refuses {point.name} of its model {model.id} at {address}")
            count = 0 if registers[0] == _ABSENT["count"] else registers[0]
            found[ANY if point.type == "count" else point.name] = count
        address += point.size
    return found


def place(definition: Definition, model: ModelAt, counted: Mapping[str, int]) -> list[Placed]:
    """The points of a model of this length; those left out for which, or for whose scale factor, the device's
    model is too short.
    """
    scope, end = _Scope(counts=counted), model.span.end
    return [
        each
        for each in _group(definition.group, (), model.address, end, scope)
        if each.address + each.point.size <= end and (each.scale is None or each.scale < end)
    ]


def tags_of(
    definition: Definition, prefix: str, placed: Sequence[Placed], model: ModelAt, options: SunSpec
) -> list[Tag]:
    """The tags of the points that are wanted; `prefix` stands before their names."""
    head = Head(model.address, model.id, model.length)
    return [
        Tag(
            f"{prefix}.{each.name}",
            options.table,
            each.address,
            form_of(each.point, options.enums),
            each.point.unit,
            options.deadband(definition.family, each.point.name),
            scale=each.scale,
            head=head,
        )
        for each in placed
        if options.wants(definition.family, each.point.name, each.point.type)
        and NAME_PART.fullmatch(f"{prefix}.{each.name}")
    ]


def expected(options: SunSpec) -> list[Tag]:
    """The tags that a device must have for the models that a site document names, before it is known.

    Where a family has several models, those of its first: points of one name are alike in all of them. Their
    addresses mean nothing.
    """
    if not options.named:
        return []
    tags = []
    for chosen in options.models:
        definition = load(chosen.numbers()[0])
        size = definition.group.size - HEAD
        model = ModelAt(definition.id, 0, size)
        placed = [each for each in place(definition, model, {}) if not each.path]
        tags += tags_of(definition, definition.family, placed, model, options)
    return tags


@lru_cache(1024)
def form_of(point: Point, enums: Enums = "text") -> Form:
    """The form of a point: with a scale factor a number of any decimals, symbols as text or as numbers."""
    absent = _ABSENT.get(point.type)
    return Form(
        _TYPES.get(point.type, point.type),
        length=point.size if point.type == "string" else 0,
        encoding="utf-8" if point.type == "string" else "ascii",
        values=point.symbols if enums == "text" and point.type.startswith("enum") else (),
        not_available=frozenset() if absent is None else frozenset((absent,)),
        scaling=_fixed(point.scale) if isinstance(point.scale, int) else None,
        scaled=isinstance(point.scale, str) and point.scale != "",
    )


def _fixed(power: int) -> Scaling:
    return Scaling.of(Decimal(1).scaleb(power), Decimal(0))


def _group(
    group: PointGroup, path: tuple[str, ...], address: int, end: int, scope: _Scope
) -> Iterator[Placed]:
    """The points of a group and of those in it, in the order of their addresses."""
    inner = _Scope(dict(scope.addresses), scope.counts)
    at = address
    for point in group.points:
        inner.addresses[point.name] = at
        at += point.size
    for point in group.points:
        scale = inner.addresses[point.scale] if isinstance(point.scale, str) and point.scale else None
        yield Placed(path, point, inner.addresses[point.name], scale)
    for each in group.groups:
        size = _size(each, scope)
        for number in range(1, _times(each, end - at, scope) + 1):
            name = each.name if each.count is None else f"{each.name}{number}"
            yield from _group(each, (*path, name), at, end, inner)
            at += size


def _times(group: PointGroup, room: int, scope: _Scope) -> int:
    """How often a group is there, where so many registers are left of its model."""
    if group.count is None:
        return 1
    fit = room // max(1, _size(group, scope))
    counted = scope.counts.get(ANY, 0) or fit if group.count == 0 else _count(group.count, scope)
    return max(0, min(counted, fit, MAX_REPEATS))


def _size(group: PointGroup, scope: _Scope) -> int:
    """Registers of a group with the groups in it."""
    return group.size + sum(_count(each.count, scope) * _size(each, scope) for each in group.groups)


def _count(count: int | str | None, scope: _Scope) -> int:
    if isinstance(count, str):
        return scope.counts.get(count, 0)
    return 1 if count is None else count


def _counting(group: PointGroup) -> Iterator[str]:
    """The points that count a group's groups."""
    for each in group.groups:
        if isinstance(each.count, str):
            yield each.count
        yield from _counting(each)
