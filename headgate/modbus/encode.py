"""From a value to the registers or the bit that mean it, exactly, or not at all; pure functions of a form."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

from headgate.exact import Unwritable, descaled, finite, number_of_text, said, unscaled
from headgate.modbus.types import BOOL, EXACT, Form, Scaling
from headgate.model import Value

_WHOLE = 0xFFFF


@dataclass(frozen=True, slots=True)
class Cells:
    """What to put where: registers, or one bit, from `offset` of the tag's address on.

    `mask`: of the one register, the bits that are the tag's; the others belong to somebody else. None: all.
    """

    offset: int
    values: tuple[int, ...]
    mask: int | None = None


def encode(form: Form, value: Value) -> Cells:
    """The cells from which a tag of this form reads `value`. Raises Unwritable.

    A number is taken for a register's where the register would read as the very same number; a float takes
    the nearest that it has, except that whole numbers stay whole where nothing is scaled.
    """
    family = form.register_type.family
    if family == "string":
        return Cells(0, _words(_padded(form, value), form.byte_order, "big"))
    if family == "float":
        return _laid(form, _float_bytes(form, value))
    number = _number(form, value)
    if form.type == BOOL:
        return Cells(0, (number,))
    raw, mask = _shifted(form, number)
    if raw in form.not_available:
        raise Unwritable(f"{said(value)} would mean that there is no value: its raw integer is {raw}")
    return _laid(form, _packed(form, raw), None if mask is None else _packed(form, mask))


def unwritable(form: Form) -> str:
    """Why no value of this form can be written in one transaction; empty where it can."""
    if form.mask is None:
        return ""
    mask = _words(_packed(form, form.mask), form.byte_order, form.word_order)
    if sum(1 for word in mask if word) > 1:
        return "its mask lies in more than one register, which no function writes at once"
    return ""


def _laid(form: Form, data: bytes, mask: bytes | None = None) -> Cells:
    words = _words(data, form.byte_order, form.word_order)
    if form.type in ("uint8_high", "int8_high"):
        mask = b"\xff\x00"
    elif form.type in ("uint8_low", "int8_low"):
        mask = b"\x00\xff"
    if mask is None:
        return Cells(0, words)
    masks = _words(mask, form.byte_order, form.word_order)
    owned = [i for i, word in enumerate(masks) if word]
    if len(owned) > 1:
        raise Unwritable(unwritable(form))
    at = owned[0]
    return Cells(at, (words[at],), None if masks[at] == _WHOLE else masks[at])


def _words(data: bytes, byte_order: str, word_order: str) -> tuple[int, ...]:
    """Registers of bytes that come high first: their bytes as `byte_order` has them, they as `word_order`."""
    words: Sequence[int] = struct.unpack(f"{'>' if byte_order == 'big' else '<'}{len(data) // 2}H", data)
    return tuple(words if word_order == "big" else reversed(words))


def _packed(form: Form, raw: int) -> bytes:
    """An integer as the type has it; a half of a register with the other half empty."""
    return struct.pack(">" + form.register_type.code, raw)


def _number(form: Form, value: Value) -> int:
    """The integer that is meant: a text's number, yes and no as 1 and 0, or a number without its scaling."""
    family = form.register_type.family
    if form.values:
        return number_of_text(form.values, value)
    if family in (BOOL, "bit"):
        if value is True or value is False or (type(value) is int and value in (0, 1)):
            return int(value)
        raise Unwritable(f"{said(value)} is neither true nor false")
    try:
        scaling = form.scaling or Scaling()
        number = descaled(finite(value), scaling.factor, scaling.offset, scaling.decimals)
    except OverflowError:
        raise Unwritable(f"{said(value)} does not fit type {form.type}") from None
    low, high = limits(form)
    if not low <= number <= high:
        raise Unwritable(f"{said(value)} does not fit type {form.type}: its raw integer would be {number}")
    if form.scaling is not None and abs(number) > EXACT:
        raise Unwritable(f"{said(value)} is not one raw integer: beyond 2^53 a double means several")
    return number


def limits(form: Form) -> tuple[int, int]:
    """Least and greatest integer that a form can mean, before it is scaled."""
    kind = form.register_type
    if kind.family in (BOOL, "bit"):
        return 0, 1
    if kind.family == "bcd":
        return 0, 10 ** (kind.bits // 4) - 1
    if form.mask is not None:
        return 0, form.mask // (form.mask & -form.mask)
    return (-(1 << kind.bits - 1), (1 << kind.bits - 1) - 1) if kind.signed else (0, (1 << kind.bits) - 1)


def _shifted(form: Form, number: int) -> tuple[int, int | None]:
    """The raw integer of the number that is meant, and which of its bits are the tag's (None: all)."""
    family = form.register_type.family
    if family == "bcd":
        return int(str(number), 16), None
    if family == "bit":
        return number << form.bit, 1 << form.bit
    if form.mask is not None:
        return number * (form.mask & -form.mask), form.mask
    return number, None


def _float_bytes(form: Form, value: Value) -> bytes:
    number = finite(value)
    scaling = form.scaling or Scaling()
    try:
        raw = float(unscaled(number, scaling.factor, scaling.offset, scaling.decimals))
        data = struct.pack(">" + form.register_type.code, raw)
    except OverflowError:
        raise Unwritable(f"{said(value)} does not fit type {form.type}") from None
    (kept,) = struct.unpack(">" + form.register_type.code, data)
    if raw and not kept:
        raise Unwritable(f"{said(value)} is too close to zero for type {form.type}")
    if form.scaling is None and number == int(number) and kept != number:
        raise Unwritable(f"type {form.type} has no {said(value)}: the nearest is {kept!r}")
    if int.from_bytes(data) in form.not_available:
        raise Unwritable(f"{said(value)} would mean that there is no value: its bits are 0x{data.hex()}")
    return data


def _padded(form: Form, value: Value) -> bytes:
    size = 2 * form.length
    if not isinstance(value, str):
        raise Unwritable(f"{said(value)} is no text")
    if value.strip("\0 ") != value or "\0" in value:
        raise Unwritable("blanks around a text, and NULs in it, would not be read again")
    try:
        data = value.encode(form.encoding)
    except UnicodeEncodeError as error:
        raise Unwritable(f"{value[error.start]!r} is not in encoding {form.encoding}") from None
    if len(data) > size:
        raise Unwritable(f"the text has {len(data)} B in {form.encoding}, its registers have {size}")
    return data.ljust(size, b"\0")
