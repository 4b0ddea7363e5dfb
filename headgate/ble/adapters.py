"""The `adapters` of a `ble:` section: how each Bluetooth adapter is used."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from headgate.config.reader import Section

DEFAULT_ADAPTER = "hci0"
ADAPTER_PATTERN, ADAPTER_HINT = r"hci[0-9]{1,3}", "such as hci0"
CONNECTIONS, MAX_CONNECTIONS = 3, 16
"""Connections at a time; what common controllers bear beside a scan."""
SILENCE_S = 30.0
Scan = Literal["active", "passive"]
Pause = Literal["auto", "always", "never"]


@dataclass(frozen=True, slots=True)
class AdapterConfig:
    """One adapter.

    `silence_s`: a scan that hears nothing for so long counts as dead. `pause_scan`: whether the scan rests
    while a connection is made; `auto`: where that is seen to help. `power`: it may be switched on, and off
    and on again. `restart_service`: systemd may be asked to restart bluetoothd when nothing else helps.
    """

    name: str = DEFAULT_ADAPTER
    connections: int = CONNECTIONS
    silence_s: float = SILENCE_S
    scan: Scan = "active"
    pause_scan: Pause = "auto"
    power: bool = True
    restart_service: bool = False


def parse_adapters(section: Section) -> tuple[AdapterConfig, ...]:
    """Read `adapters` of the `ble:` section; faults go to its problems."""
    found: dict[str, AdapterConfig] = {}
    for each in section.sections("adapters"):
        adapter = AdapterConfig(
            name=each.text("name", pattern=ADAPTER_PATTERN, hint=ADAPTER_HINT),
            connections=each.integer("connections", CONNECTIONS, low=1, high=MAX_CONNECTIONS),
            silence_s=each.number("silence_s", SILENCE_S, low=5, high=86_400),
            scan=each.choice("scan", ("active", "passive"), "active"),
            pause_scan=each.choice("pause_scan", ("auto", "always", "never"), "auto"),
            power=each.boolean("power", True),
            restart_service=each.boolean("restart_service", False),
        )
        if adapter.name in found:
            each.fault("name", f"{adapter.name!r} is there twice")
        found[adapter.name] = adapter
        each.close()
    return tuple(found.values())
