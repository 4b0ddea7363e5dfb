"""A `scan` looked over before it goes to a bridge: pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from headgate.driver import Refused, Reply
from headgate.requests.model import short

SourceOf = Callable[[str], str | None]

MIN_WAIT_MS, MAX_WAIT_MS = 50, 5_000
MAX_BLE_S, MAX_MODBUS_S = 60, 600
MAX_UNIT = 247
"""Of a serial line (MODBUS over Serial Line V1.02, 2.2)."""


def plan_scan(args: Mapping[str, Any], source_of: SourceOf) -> str:
    """The bridge that is to look around. Raises Refused: not as docs/requests.md says."""
    source = args.get("source")
    if source == "ble":
        _keys(args, "source, seconds, adapter")
        _within(args, "seconds", 1, MAX_BLE_S)
        adapter = args.get("adapter", "hci0")
        if not isinstance(adapter, str) or not re.fullmatch(r"hci[0-9]{1,3}", adapter):
            raise Refused("bad_request", f"scan: {short(repr(adapter))} is no adapter; hci0 is one")
        return "ble"
    if source == "modbus":
        _keys(args, "source, device, first, last, seconds, timeout_s")
        _within(args, "seconds", 1, MAX_MODBUS_S)
        _within(args, "timeout_s", 0.05, 2)
        for key in ("first", "last"):
            if not isinstance(args.get(key, 1), int):
                raise Refused("bad_request", f"scan: {key} must be a whole number")
            _within(args, key, 1, MAX_UNIT)
        device = args.get("device")
        if not isinstance(device, str):
            raise Refused("bad_request", "scan: device must name a Modbus device: its line is scanned")
        if source_of(device) != "modbus":
            raise Refused("unknown_device", f"scan: no Modbus device {short(repr(device))} on this gateway")
        return "modbus"
    raise Refused("bad_request", f"scan: source must be ble or modbus, not {short(repr(source))}")


def wait_ms(reply: Reply) -> int:
    """How long a bridge that is still at it wants to be left alone."""
    wanted = (reply.result or {}).get("wait_ms")
    wanted = wanted if isinstance(wanted, int) else MAX_WAIT_MS
    return min(max(wanted, MIN_WAIT_MS), MAX_WAIT_MS)


def _keys(args: Mapping[str, Any], known: str) -> None:
    unknown = set(args) - set(known.split(", "))
    if unknown:
        raise Refused("bad_request", f"scan takes {known}, not {short(sorted(unknown))}")


def _within(args: Mapping[str, Any], key: str, low: float, high: float) -> None:
    value = args.get(key, low)
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise Refused("bad_request", f"scan: {key} must be {low:g} to {high:g}, not {short(repr(value))}")
