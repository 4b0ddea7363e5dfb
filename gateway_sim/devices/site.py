"""From a plant's description to the site document that makes a gateway poll it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from gateway_sim.devices import plantfile
from gateway_sim.devices.plantfile import Device, Group, Plant, PlantError, Setting, Tag

SCHEMA = 1
SETTINGS_INTERVAL_S = 30.0


def site_document(plant: Plant, *, window_s: int = 10, writes: bool = False) -> dict[str, Any]:
    """The site document (schema 1) that polls all of `plant`: windows of `window_s`.

    `writes`: the devices' settings are there too, polled seldom, and may be written.
    """
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "modbus": {"devices": [_device(device, writes) for device in plant.devices]},
        "windows": {"length_s": window_s},
    }
    return {**document, "requests": {"writes": True}} if writes else document


def _device(device: Device, writes: bool) -> dict[str, Any]:
    if device.transport == "tcp":
        transport: dict[str, Any] = {"kind": "tcp", "host": device.host, "port": device.port}
    else:
        transport = {"kind": "rtu", "path": device.path, "baudrate": device.baudrate}
    made: dict[str, Any] = {"name": device.name, "transport": transport, "unit": device.unit}
    if device.profile is not None:
        intervals = {group.name: group.interval_s for group in device.groups}
        return {**made, "profile": device.profile, "intervals": intervals}
    groups = [_group(group) for group in device.groups]
    if writes and device.settings:
        tags = [_setting(setting) for setting in device.settings]
        groups.append({"name": "settings", "interval_s": SETTINGS_INTERVAL_S, "tags": tags})
    return {**made, "groups": groups}


def _group(group: Group) -> dict[str, Any]:
    tags = [_tag(group, tag) for tag in group.tags]
    return {"name": group.name, "interval_s": group.interval_s, "tags": tags}


def _tag(group: Group, tag: Tag) -> dict[str, Any]:
    row = {"name": tag.name, "table": group.table, "address": tag.address, "type": tag.type, "unit": tag.unit}
    return {**row, "decimals": tag.decimals} if tag.decimals else row


def _setting(setting: Setting) -> dict[str, Any]:
    write: dict[str, Any] = {"allow": True}
    if setting.name.endswith("setpoint"):
        write |= {"min": 5, "max": 80}
    row = {"name": setting.name, "table": setting.table, "address": setting.address, "type": setting.type}
    more = {"unit": setting.unit, "decimals": setting.decimals, "bit": setting.bit}
    return {**row, **{key: value for key, value in more.items() if value}, "write": write}


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the site document of a plant as YAML; 2 when there is no such plant."""
    parser = argparse.ArgumentParser(prog="gateway_sim.devices.site", description=__doc__)
    parser.add_argument("--plant", type=Path, required=True, help="the directory that holds plant.json")
    parser.add_argument("--window", type=int, default=10, metavar="S", help="window length in s (default 10)")
    parser.add_argument("--writes", action="store_true", help="let the cloud write the devices' settings")
    options = parser.parse_args(arguments)
    try:
        plant = plantfile.read(options.plant)
    except PlantError as error:
        print(f"site: {error}", file=sys.stderr)
        return 2
    document = site_document(plant, window_s=options.window, writes=options.writes)
    yaml.safe_dump(document, sys.stdout, sort_keys=False, allow_unicode=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
