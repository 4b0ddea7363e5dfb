"""What an advertisement lets one guess where no decoder knows it: makers, services, private addresses."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from headgate.ble.decoders.brands import BRANDS
from headgate.ble.decoders.ess import PROFILE as ESS
from headgate.ble.decoders.quantity import BASE_UUID, Advert

MAKERS: Mapping[int, str] = {
    0x0006: "Microsoft",
    0x000D: "Texas Instruments",
    0x004C: "Apple",
    0x0059: "Nordic Semiconductor",
    0x0075: "Samsung",
    0x0087: "Garmin",
    0x00E0: "Google",
    0x0157: "Huami",
    0x0171: "Amazon",
    0x02E5: "Espressif",
    0x02FF: "Silicon Labs",
    0x038F: "Xiaomi",
    0x0499: "Ruuvi",
}
"""Those that are in the air everywhere (Bluetooth SIG, Assigned Numbers, 7.1)."""
READABLE = frozenset({BASE_UUID.format(0x181A), BASE_UUID.format(0x180F)})
"""Environmental Sensing, Battery: who offers one of these can be read with the profile ess."""


def hinted(advert: Advert, services: Collection[str]) -> list[str]:
    """Profiles that may fit, by what a device is called and offers; what it sends was not decoded."""
    found = [ESS.name] if READABLE & set(services) else []
    found += [
        brand.name
        for brand in BRANDS.values()
        if (brand.names and advert.name.startswith(brand.names)) or brand.service in advert.service_data
    ]
    return found


def address_kind(address: str, kind: str) -> str:
    """`public`, `static` or `private` (it changes), as BlueZ's AddressType and the two highest bits say;
    empty where nothing is known (Bluetooth Core Specification, Vol 6, Part B, 1.3).
    """
    if kind != "random":
        return kind
    return "static" if int(address[:2], 16) >> 6 == 0b11 else "private"


def short_uuid(uuid: str) -> str:
    """A 16-bit UUID as four hex digits; any other as it is."""
    return uuid[4:8] if uuid == BASE_UUID.format(int(uuid[4:8], 16)) else uuid


def maker(company: int) -> str:
    """A company id with its name, where that is known."""
    name = MAKERS.get(company)
    return f"0x{company:04x}" + (f" ({name})" if name else "")
