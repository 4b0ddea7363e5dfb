"""The published packets of tests/golden/ble as adverts, and what they say."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headgate.ble.config import Device
from headgate.ble.decoders.quantity import BASE_UUID, Advert
from headgate.ble.decoders.registry import PROFILES
from headgate.ble.samples import Framer, Sample
from headgate.errors import Reject

GOLDEN = Path(__file__).resolve().parents[1] / "golden/ble"


@dataclass(frozen=True)
class Case:
    """One packet. `uncertain` are the tags whose values are in doubt."""

    profile: str
    address: str
    key: bytes | None
    service: str
    company: int | None
    data: bytes
    values: Mapping[str, Any]
    uncertain: frozenset[str]

    def advert(self, data: bytes | None = None) -> Advert:
        """The packet on the air, or other data in its place."""
        data = self.data if data is None else data
        if self.company is not None:
            return Advert(self.address, 0, -60, {}, {self.company: data})
        return Advert(self.address, 0, -60, {self.service: data})


def cases() -> Iterator[Case]:
    """Every packet of every file."""
    for path in sorted(GOLDEN.glob("*.json")):
        for row in json.loads(path.read_text("utf-8"))["cases"]:
            key = row.get("bind_key")
            yield Case(
                row["profile"],
                row["address"],
                bytes.fromhex(key) if key else None,
                BASE_UUID.format(int(row["service"], 16)) if "service" in row else "",
                row.get("company"),
                bytes.fromhex(row["data"]),
                row["values"],
                frozenset(row.get("uncertain", ())),
            )


def samples(case: Case, data: bytes | None = None) -> dict[str, Sample] | None:
    """What the decoder and the framer make of it; None for another format. Raises Reject."""
    profile = PROFILES[case.profile]
    device = Device("d", case.address, case.profile, tuple(profile.quantities), 1_000, 1.0, case.key)
    assert profile.make_decode is not None
    advert = case.advert(data)
    packet = profile.make_decode(case.address, case.key)(advert)
    if packet is None:
        return None
    framer = Framer(device, range(len(device.tags)))
    framer.frame(packet, advert.boot_ms, advert.rssi_dbm)
    told = {tag: framer.last(tag) for tag in device.tags if tag != "rssi"}
    return {tag: sample for tag, sample in told.items() if sample is not None}


def samples_or_none(case: Case, data: bytes) -> dict[str, Sample]:
    """The same, and nothing where it is refused."""
    try:
        return samples(case, data) or {}
    except Reject:
        return {}
