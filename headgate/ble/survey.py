"""What is in the air: every device that was overheard, what it says, and which profiles fit. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from headgate.ble.decoders.brands import missing
from headgate.ble.decoders.quantity import Advert, Decode, Packet, Profile, Quantity, Sealed
from headgate.ble.decoders.registry import PROFILES
from headgate.ble.hints import address_kind, hinted, short_uuid
from headgate.ble.radio import Overheard
from headgate.errors import Reject
from headgate.model import Value

MAX_DEVICES = 1_000
"""Of one survey; phones that change their address would fill any table. Others are counted."""
MAX_NAME = 64


@dataclass(frozen=True, slots=True)
class Fit:
    """A profile that a device's packets fit. `sealed`: they are encrypted. `doubt`: what is odd about them.

    `guessed`: nothing was decoded, the device's name or services say so.
    """

    profile: Profile
    values: Mapping[str, Value] = field(default_factory=dict)
    sealed: bool = False
    doubt: str = ""
    guessed: bool = False

    def quantity(self, tag: str) -> Quantity:
        """What a value means."""
        return self.profile.quantities[tag]

    def as_json(self) -> dict[str, Any]:
        """For rows; what says nothing is left out."""
        row: dict[str, Any] = {"profile": self.profile.name}
        if self.values:
            row["values"] = dict(self.values)
        for key in ("sealed", "guessed", "doubt"):
            if getattr(self, key):
                row[key] = getattr(self, key)
        return row


class Sighting:
    """One device: how often and how strong it was heard, and what came last."""

    def __init__(self, first: Overheard, profiles: Sequence[Profile]) -> None:
        self.adverts = 0
        self.rssi_dbm = self.best_dbm = first.advert.rssi_dbm
        self.heard_ms = first.advert.boot_ms
        self.address = first.advert.address
        self.kind = address_kind(self.address, first.address_type)
        self.name = ""
        self.service_data: Mapping[str, bytes] = {}
        self.manufacturer_data: Mapping[int, bytes] = {}
        self.services: dict[str, None] = {}
        self._fits: dict[str, Fit] = {}
        self._profiles = profiles
        self._decoders: list[tuple[Profile, Decode]] | None = None

    def hear(self, overheard: Overheard) -> None:
        """Take in an advertisement; what was decoded before stays."""
        advert = overheard.advert
        self.adverts += 1
        self.heard_ms, self.rssi_dbm = advert.boot_ms, advert.rssi_dbm
        self.best_dbm = max(self.best_dbm, advert.rssi_dbm)
        self.name = advert.name[:MAX_NAME] or self.name
        self.services.update(dict.fromkeys(overheard.services))
        repeated = (
            advert.service_data == self.service_data and advert.manufacturer_data == self.manufacturer_data
        )
        if repeated and self._decoders is not None:
            return
        self.service_data, self.manufacturer_data = advert.service_data, advert.manufacturer_data
        if self._decoders is None:
            self._decoders = _decoders(self.address, self._profiles)
        for profile, decode in self._decoders:
            fit = _fit(profile, decode, advert)
            if fit is not None:
                before = self._fits.get(profile.name)
                # A device may say one thing in one packet and another in the next.
                values = {**before.values, **fit.values} if before is not None else fit.values
                self._fits[profile.name] = replace(fit, values=values)

    def fits(self) -> list[Fit]:
        """What was decoded first, with the most values first; then what was but guessed."""
        decoded = sorted(self._fits.values(), key=lambda fit: -len(fit.values))
        last = Advert(
            self.address, self.heard_ms, self.rssi_dbm, self.service_data, self.manufacturer_data, self.name
        )
        named = (PROFILES[name] for name in hinted(last, self.services) if name not in self._fits)
        return [*decoded, *(Fit(profile, guessed=True, doubt=missing(profile.name)) for profile in named)]

    def as_json(self, utc_offset_ms: int) -> dict[str, Any]:
        """A row of a scan (docs/requests.md); what says nothing is left out."""
        row: dict[str, Any] = {"address": self.address}
        if self.kind:
            row["kind"] = self.kind
        if self.name:
            row["name"] = self.name
        row |= {"rssi": self.rssi_dbm, "best_rssi": self.best_dbm, "adverts": self.adverts}
        row["t"] = self.heard_ms + utc_offset_ms
        if fits := self.fits():
            row["profiles"] = [fit.as_json() for fit in fits]
        if self.services:
            row["services"] = [short_uuid(uuid) for uuid in self.services]
        if self.service_data:
            row["service_data"] = {short_uuid(uuid): data.hex() for uuid, data in self.service_data.items()}
        if self.manufacturer_data:
            row["manufacturer_data"] = {
                f"{company:04x}": data.hex() for company, data in self.manufacturer_data.items()
            }
        return row


class Survey:
    """Collects what is overheard; `missed` are adverts of devices that found no room.

    `formats`: those that the site describes itself. `brands`: also decode by the packages of brands, where
    they are installed; they cost memory.
    """

    def __init__(self, formats: Sequence[Profile] = (), *, brands: bool = True) -> None:
        self.sightings: dict[str, Sighting] = {}
        self.adverts = 0
        self.missed = 0
        self._profiles = [
            profile
            for profile in (*formats, *PROFILES.values())
            if not missing(profile.name) and (brands or not profile.package)
        ]

    def hear(self, overheard: Overheard) -> None:
        """Take in an advertisement of whomever."""
        self.adverts += 1
        address = overheard.advert.address
        sighting = self.sightings.get(address)
        if sighting is None:
            if len(self.sightings) >= MAX_DEVICES:
                self.missed += 1
                return
            sighting = self.sightings[address] = Sighting(overheard, self._profiles)
        sighting.hear(overheard)

    def found(self) -> list[Sighting]:
        """Those that a profile fits first, then the others, the strongest first."""
        return sorted(
            self.sightings.values(), key=lambda each: (not each.fits(), -each.best_dbm, each.address)
        )


def _decoders(address: str, profiles: Sequence[Profile]) -> list[tuple[Profile, Decode]]:
    makers = [(profile, profile.make_decode) for profile in profiles]
    return [(profile, make(address, None)) for profile, make in makers if make is not None]


def _fit(profile: Profile, decode: Decode, advert: Advert) -> Fit | None:
    """None where the packet is of another format, or damaged."""
    try:
        packet = decode(advert)
    except Sealed:
        return Fit(profile, sealed=True)
    except Reject:
        return None
    if packet is None:
        return None
    return Fit(profile, _values(profile, packet), doubt=_doubt(packet))


def _values(profile: Profile, packet: Packet) -> dict[str, Value]:
    known = profile.quantities
    return {tag: known[tag].value(raw) for tag, raw in packet.raw.items() if tag in known and raw is not None}


def _doubt(packet: Packet) -> str:
    if packet.unknown is not None:
        return f"object 0x{packet.unknown:02x} and what follows is unknown"
    return packet.doubt
