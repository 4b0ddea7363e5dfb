"""SunSpec models as a device has them: points in order, and how their quantities become registers.

Written by hand from the SunSpec Device Information Model Specification 1.1 and the published models 1, 103,
160 and 203. A point is `name:type`, of a string with its registers, with `@` its scale factor.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal

COMMON = "Mn:string16 Md:string16 Opt:string8 Vr:string8 SN:string16 DA:uint16 Pad:pad"
INVERTER = """
A:uint16@A_SF AphA:uint16@A_SF AphB:uint16@A_SF AphC:uint16@A_SF A_SF:sunssf
PPVphAB:uint16@V_SF PPVphBC:uint16@V_SF PPVphCA:uint16@V_SF
PhVphA:uint16@V_SF PhVphB:uint16@V_SF PhVphC:uint16@V_SF V_SF:sunssf
W:int16@W_SF W_SF:sunssf Hz:uint16@Hz_SF Hz_SF:sunssf VA:int16@VA_SF VA_SF:sunssf
VAr:int16@VAr_SF VAr_SF:sunssf PF:int16@PF_SF PF_SF:sunssf WH:acc32@WH_SF WH_SF:sunssf
DCA:uint16@DCA_SF DCA_SF:sunssf DCV:uint16@DCV_SF DCV_SF:sunssf DCW:int16@DCW_SF DCW_SF:sunssf
TmpCab:int16@Tmp_SF TmpSnk:int16@Tmp_SF TmpTrns:int16@Tmp_SF TmpOt:int16@Tmp_SF Tmp_SF:sunssf
St:enum16 StVnd:enum16 Evt1:bitfield32 Evt2:bitfield32
EvtVnd1:bitfield32 EvtVnd2:bitfield32 EvtVnd3:bitfield32 EvtVnd4:bitfield32
"""
MPPT = "DCA_SF:sunssf DCV_SF:sunssf DCW_SF:sunssf DCWH_SF:sunssf Evt:bitfield32 N:uint16 TmsPer:uint16"
MPPT_MODULE = """
ID:uint16 IDStr:string8 DCA:uint16@DCA_SF DCV:uint16@DCV_SF DCW:uint16@DCW_SF DCWH:acc32@DCWH_SF
Tms:uint32 Tmp:int16 DCSt:enum16 DCEvt:bitfield32
"""
METER = """
A:int16@A_SF AphA:int16@A_SF AphB:int16@A_SF AphC:int16@A_SF A_SF:sunssf
PhV:int16@V_SF PhVphA:int16@V_SF PhVphB:int16@V_SF PhVphC:int16@V_SF
PPV:int16@V_SF PhVphAB:int16@V_SF PhVphBC:int16@V_SF PhVphCA:int16@V_SF V_SF:sunssf
Hz:int16@Hz_SF Hz_SF:sunssf
W:int16@W_SF WphA:int16@W_SF WphB:int16@W_SF WphC:int16@W_SF W_SF:sunssf
VA:int16@VA_SF VAphA:int16@VA_SF VAphB:int16@VA_SF VAphC:int16@VA_SF VA_SF:sunssf
VAR:int16@VAR_SF VARphA:int16@VAR_SF VARphB:int16@VAR_SF VARphC:int16@VAR_SF VAR_SF:sunssf
PF:int16@PF_SF PFphA:int16@PF_SF PFphB:int16@PF_SF PFphC:int16@PF_SF PF_SF:sunssf
TotWhExp:acc32@TotWh_SF TotWhExpPhA:acc32@TotWh_SF TotWhExpPhB:acc32@TotWh_SF TotWhExpPhC:acc32@TotWh_SF
TotWhImp:acc32@TotWh_SF TotWhImpPhA:acc32@TotWh_SF TotWhImpPhB:acc32@TotWh_SF TotWhImpPhC:acc32@TotWh_SF
TotWh_SF:sunssf
TotVAhExp:acc32@TotVAh_SF TotVAhExpPhA:acc32@TotVAh_SF
TotVAhExpPhB:acc32@TotVAh_SF TotVAhExpPhC:acc32@TotVAh_SF
TotVAhImp:acc32@TotVAh_SF TotVAhImpPhA:acc32@TotVAh_SF
TotVAhImpPhB:acc32@TotVAh_SF TotVAhImpPhC:acc32@TotVAh_SF
TotVAh_SF:sunssf
TotVArhImpQ1:acc32@TotVArh_SF TotVArhImpQ1PhA:acc32@TotVArh_SF TotVArhImpQ1PhB:acc32@TotVArh_SF
TotVArhImpQ1PhC:acc32@TotVArh_SF
TotVArhImpQ2:acc32@TotVArh_SF TotVArhImpQ2PhA:acc32@TotVArh_SF TotVArhImpQ2PhB:acc32@TotVArh_SF
TotVArhImpQ2PhC:acc32@TotVArh_SF
TotVArhExpQ3:acc32@TotVArh_SF TotVArhExpQ3PhA:acc32@TotVArh_SF TotVArhExpQ3PhB:acc32@TotVArh_SF
TotVArhExpQ3PhC:acc32@TotVArh_SF
TotVArhExpQ4:acc32@TotVArh_SF TotVArhExpQ4PhA:acc32@TotVArh_SF TotVArhExpQ4PhB:acc32@TotVArh_SF
TotVArhExpQ4PhC:acc32@TotVArh_SF
TotVArh_SF:sunssf Evt:bitfield32
"""

_FORMS: Mapping[str, tuple[str, int, int]] = {
    "int16": ("h", 1, -0x8000),
    "sunssf": ("h", 1, -0x8000),
    "uint16": ("H", 1, 0xFFFF),
    "enum16": ("H", 1, 0xFFFF),
    "pad": ("H", 1, 0x8000),
    "uint32": ("I", 2, 0xFFFF_FFFF),
    "bitfield32": ("I", 2, 0xFFFF_FFFF),
    "acc32": ("I", 2, 0),
}
"""By type: its `struct` code, its registers, and what says that the device does not have it."""

Quantity = float | int | str | None
"""What a point shows; None: the device does not have it."""


@dataclass(frozen=True, slots=True)
class Point:
    """One point of a model; `registers` of it, and the name of its scale factor, if it has one."""

    name: str
    type: str
    registers: int
    scale: str


@dataclass(frozen=True, slots=True)
class Shown:
    """A point as it was put in registers from `offset` on, and what a reader must make of it.

    `meaning`: the exact decimal, a text, or None where the device does not have the point.
    """

    name: str
    offset: int
    registers: tuple[int, ...]
    meaning: str | None


def points(text: str) -> list[Point]:
    """The points that a string above describes."""
    found = []
    for word in text.split():
        name, _, rest = word.partition(":")
        kind, _, scale = rest.partition("@")
        if kind.startswith("string"):
            found.append(Point(name, "string", int(kind.removeprefix("string")), ""))
        else:
            found.append(Point(name, kind, _FORMS[kind][1], scale))
    return found


def show(
    layout: Sequence[Point], quantities: Mapping[str, Quantity], scales: Mapping[str, int], offset: int
) -> list[Shown]:
    """Put quantities in registers from `offset` on; a point without a quantity is not there.

    A number is rounded to the last digit of its scale factor: that, exactly, is what is shown.
    """
    shown = []
    for point in layout:
        quantity = scales.get(point.name) if point.type == "sunssf" else quantities.get(point.name)
        registers, meaning = _registers(point, quantity, scales.get(point.scale, 0))
        shown.append(Shown(point.name, offset, registers, meaning))
        offset += point.registers
    return shown


def _registers(point: Point, quantity: Quantity, scale: int) -> tuple[tuple[int, ...], str | None]:
    if point.type == "string":
        text = "" if quantity is None else str(quantity)
        data = text.encode().ljust(2 * point.registers, b"\0")
        return struct.unpack(f">{point.registers}H", data), text or None
    code, count, absent = _FORMS[point.type]
    if quantity is None:
        raw, meaning = absent, None
    else:
        raw = int(Decimal(quantity).scaleb(-scale).to_integral_value(ROUND_HALF_EVEN))
        meaning = f"{Decimal(raw).scaleb(scale):f}"
    return struct.unpack(f">{count}H", struct.pack(f">{code}", raw)), meaning
