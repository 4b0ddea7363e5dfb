"""A process that listens with bleak and prints what it found as one JSON object."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import sys
import sysconfig
import types
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path

from bleak import BleakClient, BleakScanner
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

ESS_UUID = "0000181a-0000-1000-8000-00805f9b34fb"


def foreign_code() -> list[str]:
    """Functions and methods of bleak's loaded modules whose code lies outside its installed files.

    What the standard library generates for a NamedTuple or a Protocol is let through.
    """
    library = sysconfig.get_path("stdlib")
    files = {str(Path(str(file.locate())).resolve()) for file in distribution("bleak").files or ()}
    return [
        f"{module}.{code.co_qualname}"
        for module, code in _codes()
        if str(Path(code.co_filename).resolve()) not in files and not _in(library, code.co_filename)
    ]


def _in(library: str, file: str) -> bool:
    return Path(file).is_relative_to(library) and "site-packages" not in file


def _codes() -> Iterator[tuple[str, types.CodeType]]:
    for name, module in list(sys.modules.items()):
        if not name.startswith("bleak"):
            continue
        for thing in list(vars(module).values()):
            if getattr(thing, "__module__", None) != name:
                continue
            for member in [thing, *(vars(thing).values() if isinstance(thing, type) else ())]:
                plain = getattr(member, "__func__", member)
                if isinstance(plain, types.FunctionType) and not plain.__code__.co_filename.startswith("<"):
                    yield name, plain.__code__


def changed_files() -> list[str]:
    """Installed files of bleak that differ from the hashes in its RECORD."""
    changed = []
    for file in distribution("bleak").files or ():
        if file.hash is not None:
            digest = hashlib.new(file.hash.mode, Path(str(file.locate())).read_bytes()).digest()
            if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != file.hash.value:
                changed.append(str(file))
    return changed


async def listen(seconds: float) -> dict[str, object]:
    """Scan, then read every characteristic of each Environmental Sensing device once."""
    heard: list[tuple[str, str]] = []
    peripherals: dict[str, BLEDevice] = {}

    def note(device: BLEDevice, data: AdvertisementData) -> None:
        payload = b"".join([*data.service_data.values(), *data.manufacturer_data.values()])
        heard.append((device.address, payload.hex()))
        if ESS_UUID in data.service_uuids:
            peripherals[device.address] = device

    reads: dict[str, str] = {}
    async with BleakScanner(note, bluez={"adapter": "hci0", "filters": {"DuplicateData": True}}):
        await asyncio.sleep(seconds)
        for device in peripherals.values():
            async with BleakClient(device) as client:
                for characteristic in client.services.characteristics.values():
                    reads[characteristic.uuid[4:8]] = (await client.read_gatt_char(characteristic)).hex()
    backend = [name for name in sys.modules if name.startswith("bleak.backends.bluezdbus")]
    found: dict[str, object] = {"heard": heard, "reads": reads, "backend": backend}
    return {**found, "foreign": foreign_code(), "changed": changed_files()}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(listen(float(sys.argv[1])))))
