"""The BLE bridge up to `Bus.publish`, as a process of its own; and, for its floor, its imports alone.

    python -m bench._ble_bridge SITE.json STATE_ROOT BATCHES.bin
    python -m bench._ble_bridge --imports

BATCHES.bin gets each batch after its length as u32. Writes `ready`. The bus is DBUS_SYSTEM_BUS_ADDRESS.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path

from bench._modbus_bridge import FileBus
from headgate.bridge.handover import Options
from headgate.clock import SystemClock
from headgate.config.accepted import store_accepted
from headgate.config.stateroot import StateRoot
from headgate.driver import Driver
from headgate.roles.bridge import DRIVERS, Bridge
from headgate.roles.site_follower import ComponentConfig


async def _run(site: Path, root: Path, batches: Path) -> None:
    stop = asyncio.Event()
    state = StateRoot.at(str(root))
    state.create()
    store_accepted(state, site.read_bytes())
    bridge = Bridge("ble", ComponentConfig(state), FileBus(batches, "ble"), SystemClock(), Options())
    async with asyncio.TaskGroup() as group:
        group.create_task(bridge.run(stop), name="bridge")
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        stop.set()


def _imports() -> None:
    """Everything that a bridge with an encrypted device loads."""
    make: Callable[..., Driver] = DRIVERS["ble"]
    driver = make(SystemClock(), lambda text: None)
    device = {"name": "d", "address": "AA:BB:CC:DD:EE:FF", "profile": "bthome", "bind_key": "0f" * 16}
    driver.apply(driver.plan({"devices": [device]}))
    print("ready", flush=True)
    sys.stdin.readline()


if __name__ == "__main__":
    if sys.argv[1:] == ["--imports"]:
        _imports()
    else:
        asyncio.run(_run(*map(Path, sys.argv[1:])))
