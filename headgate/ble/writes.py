"""Writes what the cloud asks to be written to BLE devices: the bytes of one value, the others as they are."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from contextlib import AsyncExitStack
from typing import Any, TypeVar, cast

from headgate.ble.config import Device
from headgate.ble.decoders.encode import Patch, encode_field
from headgate.ble.decoders.fields import TYPES
from headgate.ble.decoders.own import OwnField, OwnFormat
from headgate.ble.gatt import Gatt
from headgate.ble.link import Link
from headgate.ble.on_demand import in_time
from headgate.ble.rules import CharacteristicRule
from headgate.clock import Clock
from headgate.driver import Refused, Reply, Request, answer_by_ms
from headgate.errors import HeadgateError, Reject, Retry
from headgate.exact import Unwritable
from headgate.model import Value
from headgate.write_steps import (
    Denied,
    Done,
    Unconfirmed,
    Wanted,
    asked_values,
    carry_out,
    write_all,
)

T = TypeVar("T")


class Writes:
    """Carries out `write` (docs/requests.md): `devices` by name; `gatt` gives an adapter's connections."""

    def __init__(self, devices: Mapping[str, Device], gatt: Callable[[str], Gatt], clock: Clock) -> None:
        self._devices = devices
        self._gatt = gatt
        self._clock = clock

    async def call(self, request: Request) -> Reply:
        """See `Driver.call`. Where one value is refused nothing is written; after a failure, nothing more."""
        end_ms = answer_by_ms(request, self._clock)
        places: list[_Bytes] = []
        for name, value in asked_values(request.args):
            link = places[-1].link if places else None
            places.append(self._place(name, value, link, end_ms))

        async def write(index: int) -> Done:
            done = await carry_out(places[index], self._clock, end_ms)
            if index + 1 < len(places) and places[index + 1].link is not places[index].link:
                await places[index].link.close()
            return done

        async with AsyncExitStack() as links:
            for place in places:
                links.push_async_callback(place.link.close)
            return await write_all(request, [place.wanted for place in places], write)

    def _place(self, name: str, asked: Value, before: Link | None, end_ms: int | None) -> _Bytes:
        """Where a value that may be written lies; next to the value `before`, in its turn. Raises Refused."""
        device_name, _, tag = name.partition("/")
        device = self._devices.get(device_name)
        if device is None or tag not in device.tags:
            raise Refused("unknown_series", f"write: there is no series {name!r}")
        found = _writable(device, tag)
        if found is None:
            why = (
                "its value has no write: {allow: true}" if device.own else "only values of own formats can be"
            )
            raise Refused("writes_off", f"write: {name} may not be written ({why})")
        own, field, rule = found
        value = rule.value(name, asked)
        try:
            patch = encode_field(field.field, value, own.length)
        except Unwritable as error:
            raise Refused("bad_value", f"write: {name}: {error}") from error
        wanted = Wanted(name, device.quantity(tag).unit, asked, value, rule.verify)
        link = before if before is not None and before.device is device else None
        link = link or Link(device, self._gatt(device.adapter))
        return _Bytes(wanted, own, field, rule, patch, link, self._clock, end_ms)


def _writable(device: Device, tag: str) -> tuple[OwnFormat, OwnField, CharacteristicRule] | None:
    """A value's field, the format that it is of, and how it may be written; None where it may not."""
    own = device.own
    for each in own.fields if own is not None else ():
        if own is not None and each.field.quantity.tag == tag and each.write is not None:
            return own, each, each.write
    return None


class _Bytes:
    """The place of one value: bytes of a characteristic, which is read and written whole."""

    def __init__(
        self,
        wanted: Wanted,
        own: OwnFormat,
        field: OwnField,
        rule: CharacteristicRule,
        patch: Patch,
        link: Link,
        clock: Clock,
        end_ms: int | None,
    ) -> None:
        self.wanted = wanted
        self.link = link
        self._own, self._field, self._rule, self._patch = own, field, rule, patch
        self._of = next(c for c in link.device.format.characteristics if c.uuid == field.characteristic)
        self._clock, self._end_ms = clock, end_ms
        self._before: bytes | None = None
        self._sent = b""
        self._strange = ""

    async def look(self) -> bytes:
        """See `Place.look`."""
        try:
            found = await self._in_time(self.link.read(self._of.uuid), Retry("not read in time"))
        except Reject as error:
            raise Denied(str(error)) from error
        try:
            self._of.decode(found)
        except Reject as error:
            self._strange = str(error)
            raise Denied(self._strange) from error
        self._before = found
        return found

    async def put(self) -> int:
        """See `Place.put`. What is not the value's stays as it was read."""
        self._sent = data = self._content()
        if self._end_ms is not None and self._clock.boot_ms() >= self._end_ms:
            raise Retry("no time is left")
        await self._in_time(
            self.link.write(self._of.uuid, data, response=self._rule.response),
            Unconfirmed("not confirmed in time; whether it was written is not known"),
        )
        if not self._rule.response:
            raise Unconfirmed("sent without a response")
        return self._clock.boot_ms()

    def holds(self, found: bytes) -> bool:
        """See `Place.holds`. A device may pad a text, or shift a decimal exponent: the value counts."""
        return self.meant(found) == self.meant(self._sent)

    def meant(self, found: bytes) -> Value:
        """See `Place.meant`."""
        quantity = self._field.field.quantity
        return quantity.value(self._of.decode(found).raw.get(quantity.tag))

    def _content(self) -> bytes:
        """What to write: all of the characteristic. Raises Denied where that cannot be known."""
        before = self._before
        if before is None:
            length = self._own.length
            if self._strange:
                raise Denied(self._strange)
            if not self._patch.whole or len(self._of.quantities) > 1:
                raise Denied("it cannot be read, and other bits of it are not touched")
            before = bytes(len(self._patch.data) if length is None else length)
        data = self._patch.onto(before)
        try:
            means = self.meant(data)
        except Reject as error:
            raise Denied(f"not sent: then it could not be read: {error}") from error
        rounded = TYPES[self._field.field.type].family == "float"
        if means is None or (not rounded and means != self.wanted.value):
            raise Denied(f"not sent: with the bits beside it, it would read as {means!r}")
        return data

    async def _in_time(self, work: Coroutine[Any, Any, T], late: HeadgateError) -> T:
        """What `work` brings or raises; `late` where there is no time for it."""

        async def settled() -> tuple[T | None, HeadgateError | None]:
            try:
                return await work, None
            except HeadgateError as error:
                return None, error

        try:
            found, error = await in_time(settled(), self._end_ms, self._clock)
        except Retry:
            raise late from None
        if error is not None:
            raise error
        return cast("T", found)  # without an error it is what `work` brought
