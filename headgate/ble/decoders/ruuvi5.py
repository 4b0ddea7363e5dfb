"""RuuviTag data format 5, "RAWv2" (docs.ruuvi.com/communication/bluetooth-advertisements)."""

from __future__ import annotations

import struct
from collections.abc import Callable

from headgate.ble.decoders.quantity import (
    Content,
    Packet,
    Profile,
    Quantity,
    address_bytes,
    by_tag,
    celsius,
    percent,
)
from headgate.errors import Reject

COMPANY = 0x0499
"""Ruuvi Innovations Ltd., Bluetooth SIG company identifiers."""
FORMAT = 5
SEQUENCE = "measurement_sequence"
_LAYOUT = struct.Struct(">BhHHhhhHBH6s")
_NONE_SIGNED, _NONE_8, _NONE_16 = -0x8000, 0xFF, 0xFFFF
_NONE_VOLTAGE, _NONE_POWER = 0x7FF, 0x1F
_NONE_ADDRESS = b"\xff" * 6

QUANTITIES = by_tag(
    Quantity(SEQUENCE, "1"),
    celsius("temperature", 3),
    percent("humidity", 4),
    Quantity("pressure", "Pa"),
    Quantity("acceleration_x", "mG"),
    Quantity("acceleration_y", "mG"),
    Quantity("acceleration_z", "mG"),
    Quantity("battery_voltage", "V", 3),
    Quantity("tx_power", "dBm"),
    Quantity("movement_counter", "1"),
)
"""Humidity above 100 % generally says that the sensor is faulty or not calibrated (data format 5)."""
_TAGS = tuple(QUANTITIES)


def decode(data: bytes, address: bytes | None = None) -> Packet:
    """Read the manufacturer data, 24 B from the format byte on. Raises Reject for anything else.

    Not available is the largest number of an unsigned field and the smallest of a signed one. `address`:
    the sender's, 6 B; a packet that names another one is doubtful.
    """
    if len(data) != _LAYOUT.size or data[0] != FORMAT:
        raise Reject(f"RuuviTag: {len(data)} B {data[:4].hex()}.. are not {_LAYOUT.size} B of data format 5")
    _, temperature, humidity, pressure, x, y, z, power, movements, sequence, mac = _LAYOUT.unpack(data)
    voltage, tx_power = power >> 5, power & _NONE_POWER
    number = None if sequence == _NONE_16 else sequence
    return Packet(
        _TAGS,
        (
            number,
            None if temperature == _NONE_SIGNED else temperature * 5,  # steps of 0.005 °C
            None if humidity == _NONE_16 else humidity * 25,  # steps of 0.0025 %
            None if pressure == _NONE_16 else pressure + 50_000,
            None if x == _NONE_SIGNED else x,
            None if y == _NONE_SIGNED else y,
            None if z == _NONE_SIGNED else z,
            None if voltage == _NONE_VOLTAGE else voltage + 1_600,
            None if tx_power == _NONE_POWER else tx_power * 2 - 40,
            None if movements == _NONE_8 else movements,
        ),
        number,
        None,
        None,
        ""
        if address is None or mac in (address, _NONE_ADDRESS)
        else f"it names {mac.hex(':')} as its sender",
    )


def make_read(address: str, key: bytes | None) -> Callable[[bytes], Packet | None]:
    """See `quantity.Content`; the format has no key. Other Ruuvi formats are left alone."""
    sender = address_bytes(address)

    def read(data: bytes) -> Packet | None:
        return decode(data, sender) if data and data[0] == FORMAT else None

    return read


CONTENT = Content(make_read, company=COMPANY)
make_decode = CONTENT.make_decode
PROFILE = Profile("ruuvi5", QUANTITIES, tuple(QUANTITIES), make_decode, count_tag=SEQUENCE, content=CONTENT)
