"""From a plant's description to the site document that makes a gateway poll it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from gateway_sim.devices import plantfile
from gateway_sim.devices.plantfile import Device, Group, Plant, PlantError, Tag

SCHEMA = 1


def site_document(plant: Plant, *, window_s: int = 10) -> dict[str, Any]:
    """The site document (schema 1) that polls all of `plant`: windows of `window_s`."""
    return {
        "schema": SCHEMA,
        "modbus": {"devices": [_device(device) for device in plant.devices]},
        "windows": {"length_s": window_s},
    }


def _device(device: Device) -> dict[str, Any]:
    if device.transport == "tcp":
        transport: dict[str, Any] = {"kind": "tcp", "host": device.host, "port": device.port}
    else:
        transport = {"kind": "rtu", "path": device.path, "baudrate": device.baudrate}
    groups = [_group(group) for group in device.groups]
    return {"name": device.name, "transport": transport, "unit": device.unit, "groups": groups}


def _group(group: Group) -> dict[str, Any]:
    tags = [_tag(group, tag) for tag in group.tags]
    return {"name": group.name, "interval_s": group.interval_s, "tags": tags}


def _tag(group: Group, tag: Tag) -> dict[str, Any]:
    row = {"name": tag.name, "table": group.table, "address": tag.address, "type": tag.type, "unit": tag.unit}
    return {**row, "decimals": tag.decimals} if tag.decimals else row


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the site document of a plant as YAML; 2 when there is no such plant."""
    parser = argparse.ArgumentParser(prog="gateway_sim.devices.site", description=__doc__)
    parser.add_argument("--plant", type=Path, required=True, help="the directory that holds plant.json")
    parser.add_argument("--window", type=int, default=10, metavar="S", help="window length in s (default 10)")
    options = parser.parse_args(arguments)
    try:
        plant = plantfile.read(options.plant)
    except PlantError as error:
        print(f"site: {error}", file=sys.stderr)
        return 2
    document = site_document(plant, window_s=options.window)
    yaml.safe_dump(document, sys.stdout, sort_keys=False, allow_unicode=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
