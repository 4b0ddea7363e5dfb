"""What was heard and read, as rows of tables; pure."""

from __future__ import annotations

from collections.abc import Sequence

from headgate.ble.commissioning.explore import Offered, named
from headgate.ble.decoders.quantity import Quantity
from headgate.ble.hints import maker, short_uuid
from headgate.ble.survey import Fit, Sighting
from headgate.model import Value

HEARD_HEAD = ("Address", "Kind", "Name", "RSSI", "Adverts", "Profile", "Says")
OFFERED_HEAD = ("Service", "Characteristic", "Properties", "Hex", "Value")
MAX_VALUES = 5
MAX_HEX_BYTES = 24


def heard_rows(found: Sequence[Sighting]) -> list[tuple[str, ...]]:
    """What a scan heard; a device that fits several profiles has a line for each."""
    rows: list[tuple[str, ...]] = []
    for each in found:
        first = (
            each.address,
            each.kind or "-",
            each.name or "-",
            str(each.rssi_dbm),
            str(each.adverts),
        )
        fits = each.fits()
        if not fits:
            rows.append((*first, "-", _undecoded(each)))
        for i, fit in enumerate(fits):
            name = f"{fit.profile.name}?" if fit.guessed else fit.profile.name
            rows.append((*(first if i == 0 else ("",) * len(first)), name, _says(fit)))
    return rows


def offered_rows(offered: Sequence[Offered]) -> list[tuple[str, ...]]:
    """What a device offers, service by service."""
    rows: list[tuple[str, ...]] = []
    service = ""
    for each in offered:
        data = "-" if each.data is None else _hex(each.data)
        shown = titled(each.service) if each.service != service else ""
        service = each.service
        properties = " ".join(each.characteristic.properties)
        value = each.error or each.decoded or "-"
        rows.append((shown, titled(each.characteristic.uuid), properties or "-", data, value))
    return rows


def titled(uuid: str) -> str:
    """A UUID with what the Bluetooth SIG calls it."""
    return f"{short_uuid(uuid)} {named(uuid)}".rstrip()


def _says(fit: Fit) -> str:
    if fit.sealed:
        return "encrypted: needs its bind_key"
    if fit.guessed:
        return fit.doubt or "by its name or services; explore it"
    items = [item for item in fit.values.items() if item[0] != fit.profile.count_tag]
    shown = [value_text(fit.quantity(tag), value) for tag, value in items[:MAX_VALUES]]
    more = [f"{len(items) - MAX_VALUES} more"] if len(items) > MAX_VALUES else []
    return ", ".join([*shown, *more]) + (f" (in doubt: {fit.doubt})" if fit.doubt else "")


def value_text(quantity: Quantity, value: Value) -> str:
    """A value with its tag and unit."""
    text = f"{value:.7g}" if isinstance(value, float) else str(value)
    unit = "" if quantity.unit in ("", "1") else f" {quantity.unit}"
    return f"{quantity.tag} {text}{unit}"


def _undecoded(each: Sighting) -> str:
    """Raw bytes, by whom they are; else the services that are offered."""
    parts = [f"{maker(company)}: {_hex(data)}" for company, data in each.manufacturer_data.items()]
    parts += [f"service {short_uuid(uuid)}: {_hex(data)}" for uuid, data in each.service_data.items()]
    if not parts and each.services:
        parts = ["offers " + ", ".join(titled(uuid) for uuid in each.services)]
    return "; ".join(parts) or "-"


def _hex(data: bytes) -> str:
    return data[:MAX_HEX_BYTES].hex() + (".." if len(data) > MAX_HEX_BYTES else "")
