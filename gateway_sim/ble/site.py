"""From `ble.json` to the section `ble` of the site document that makes a gateway listen to its sensors."""

from __future__ import annotations

from typing import Any

from gateway_sim.ble.blefile import BleDevice, Radio


def ble_section(radio: Radio) -> dict[str, Any]:
    """The value of the site document's key `ble`."""
    described = [dict(device.description) for device in radio.devices if device.description is not None]
    formats = {"formats": described} if described else {}
    return {"adapter": radio.adapter, **formats, "devices": [ble_device(device) for device in radio.devices]}


def ble_device(device: BleDevice) -> dict[str, Any]:
    """One device of it."""
    row = {"name": device.name, "address": device.address, "profile": device.profile}
    key = {"bind_key": device.bind_key} if device.bind_key else {}
    tags = {"tags": [tag.name for tag in device.tags]} if device.description is not None else {}
    return {**row, **key, **tags, "interval_s": device.interval_s}
