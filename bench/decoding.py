"""BLE packets from the advertisement to the frame, in one process without a radio: CPU time of each."""

from __future__ import annotations

import gc
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bench.form import Figure, Scenario, at_most, run
from headgate.ble.config import Device, parse_mapping
from headgate.ble.decoders.quantity import Advert
from headgate.ble.listener import Listener

ADDRESS = "A4:C1:38:10:00:01"
PACKETS, ROUNDS = 20_000, 7
KEY = bytes(range(16))
GOAL_NS = 10_000
"""500 devices at 10 Hz are 5,000 packets a second: at this cost, 5 % of a core."""


def main(argv: Sequence[str]) -> int:
    """`./dev bench decoding [--json]`."""
    goals = {"ns_per_packet": at_most(GOAL_NS)}
    return run("decoding", argv, [Scenario(name, measure(name), goals) for name in MAKERS])


def measure(name: str) -> Callable[[], Mapping[str, Figure]]:
    """What measures one kind of packets; every one of them is new."""

    def measured() -> Mapping[str, Figure]:
        device, advert = MAKERS[name]()
        adverts = [advert(number) for number in range(PACKETS)]
        best_ns, values = min(_round(device, adverts) for _ in range(ROUNDS))
        return {"ns_per_packet": round(best_ns / PACKETS), "values_per_packet": round(values / PACKETS, 1)}

    return measured


def _round(device: Device, adverts: Sequence[Advert]) -> tuple[int, int]:
    make_decode = device.format.make_decode
    assert make_decode is not None
    listener = Listener(device, make_decode, range(len(device.tags)), print, 0)
    values = 0
    gc.collect()
    start_ns = time.process_time_ns()
    for advert in adverts:
        wanted = listener.wanted(advert)
        frame = None if wanted is None else listener.hear(wanted, advert.boot_ms, advert.rssi_dbm)
        if frame is not None:
            values += len(frame.values)
    return time.process_time_ns() - start_ns, values


Maker = Callable[[], tuple[Device, Callable[[int], Advert]]]


def _device(profile: str, **more: Any) -> Device:
    formats = more.pop("formats", [])
    device = {"name": "d", "address": ADDRESS, "profile": profile, **more}
    return parse_mapping({"formats": formats, "devices": [device]}).devices[0]


def _bthome_objects(number: int) -> bytes:
    return struct.pack("<BBBBBhBH", 0, number % 256, 1, 97, 2, 2000 + number % 100, 3, 5055)


def _bthome() -> tuple[Device, Callable[[int], Advert]]:
    from headgate.ble.decoders.bthome import SERVICE

    return _device("bthome"), lambda n: Advert(ADDRESS, n * 100, -60, {SERVICE: b"\x40" + _bthome_objects(n)})


def _sealed() -> tuple[Device, Callable[[int], Advert]]:
    from cryptography.hazmat.primitives.ciphers.aead import AESCCM

    from headgate.ble.decoders.bthome import SERVICE

    cipher = AESCCM(KEY, tag_length=4)

    def advert(number: int) -> Advert:
        counter = number.to_bytes(4, "little")
        nonce = bytes.fromhex(ADDRESS.replace(":", "")) + b"\xd2\xfc\x41" + counter
        sealed = cipher.encrypt(nonce, _bthome_objects(number), None)
        return Advert(ADDRESS, number * 100, -60, {SERVICE: b"\x41" + sealed[:-4] + counter + sealed[-4:]})

    return _device("bthome", bind_key=KEY.hex()), advert


def _ruuvi() -> tuple[Device, Callable[[int], Advert]]:
    mac = bytes.fromhex(ADDRESS.replace(":", ""))

    def advert(number: int) -> Advert:
        temperature, sequence = 4000 + number % 100, number % 65_535
        data = struct.pack(">BhHHhhhHBH", 5, temperature, 20_000, 51_325, 4, -4, 1036, 44_086, 66, sequence)
        return Advert(ADDRESS, number * 100, -60, {}, {0x0499: data + mac})

    return _device("ruuvi5"), advert


def _own() -> tuple[Device, Callable[[int], Advert]]:
    values = [
        {"name": "count", "type": "uint16"},
        {
            "name": "temperature",
            "at": 2,
            "type": "int16",
            "scale": 0.01,
            "unit": "°C",
            "low": -50,
            "high": 90,
        },
        {"name": "level", "at": 4, "type": "uint16", "order": "big", "not_available": 0xFFFF},
        {"name": "state", "at": 6, "type": "uint8", "values": {0: "idle", 1: "filling"}},
    ]
    own = {"name": "own", "company": 0x0BCD, "packet_id": "count", "values": values}

    def advert(number: int) -> Advert:
        data = struct.pack("<HhHB", number % 65_536, 2000 + number % 100, 1234, number % 2)
        return Advert(ADDRESS, number * 100, -60, {}, {0x0BCD: data})

    return _device("own", formats=[own]), advert


MAKERS: Mapping[str, Maker] = {
    "bthome": _bthome,
    "bthome-encrypted": _sealed,
    "ruuvi5": _ruuvi,
    "own-format": _own,
}
"""The scenarios: for each the device, and what makes its packet of a number."""
