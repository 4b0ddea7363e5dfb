"""RuuviTag data format 3, "RAWv1", deprecated (docs.ruuvi.com/communication/bluetooth-advertisements)."""

from __future__ import annotations

import struct

from headgate.ble.decoders.quantity import Advert, Decode, Packet, Profile, Quantity, by_tag, celsius, percent
from headgate.ble.decoders.ruuvi5 import COMPANY
from headgate.errors import Reject

FORMAT = 3
_LAYOUT = struct.Struct(">BBBBHhhhH")
_SIGN = 0x80
_HUNDREDTHS = 100

QUANTITIES = by_tag(
    celsius("temperature", 2),
    percent("humidity", 1),
    Quantity("pressure", "Pa"),
    Quantity("acceleration_x", "mG"),
    Quantity("acceleration_y", "mG"),
    Quantity("acceleration_z", "mG"),
    Quantity("battery_voltage", "V", 3),
)
"""Humidity above 100 % indicates a fault in the sensor (data format 3)."""


def decode(data: bytes) -> Packet:
    """Read the manufacturer data, 14 B from the format byte on. Raises Reject for anything else.

    The format has no mark for what is not available. A temperature is sign and magnitude, hundredths apart;
    100 hundredths and more are no temperature.
    """
    if len(data) != _LAYOUT.size or data[0] != FORMAT:
        raise Reject(f"RuuviTag: {len(data)} B {data[:4].hex()}.. are not {_LAYOUT.size} B of data format 3")
    _, humidity, degrees, hundredths, pressure, x, y, z, voltage = _LAYOUT.unpack(data)
    magnitude = (degrees & ~_SIGN) * 100 + hundredths
    temperature = -magnitude if degrees & _SIGN else magnitude
    return Packet.of(
        {
            "temperature": temperature if hundredths < _HUNDREDTHS else None,
            "humidity": humidity * 5,  # steps of 0.5 %
            "pressure": pressure + 50_000,
            "acceleration_x": x,
            "acceleration_y": y,
            "acceleration_z": z,
            "battery_voltage": voltage,
        }
    )


def make_decode(address: str, key: bytes | None) -> Decode:
    """See `quantity.MakeDecode`; the format has no key. Other Ruuvi formats are left alone."""

    def decode_advert(advert: Advert) -> Packet | None:
        data = advert.manufacturer_data.get(COMPANY)
        return decode(data) if data and data[0] == FORMAT else None

    return decode_advert


PROFILE = Profile("ruuvi3", QUANTITIES, tuple(QUANTITIES), make_decode)
