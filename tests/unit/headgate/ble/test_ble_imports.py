"""What a bridge loads: its own field bus, cryptography only with a bind key; bleak as it was published."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import subprocess
import sys

import pytest

BRIDGE = """
import sys
from headgate.clock import ManualClock
from headgate.roles.bridge import DRIVERS
driver = DRIVERS[{name!r}](ManualClock(), print)
{more}
heavy = ("bleak", "dbus_fast", "pymodbus", "cryptography", "numpy", "habluetooth", "aiohttp")
print(*[name for name in heavy if name in sys.modules])
"""
BLE_DEVICES = """
from headgate.ble.decoders.quantity import Advert
from headgate.ble.decoders.registry import PROFILES
value = {{"name": "v", "type": "uint8"}}
formats = [
    {{"name": "heard", "company": 1, "values": [value]}},
    {{"name": "read", "values": [{{**value, "characteristic": "2A19"}}]}},
]
names = [name for name, profile in PROFILES.items() if not profile.package]
devices = [
    {{"name": name, "address": "AA:BB:CC:DD:EE:FF", "profile": name}} for name in [*names, "heard", "read"]
]
devices[names.index({keyed!r})] |= {key}
driver.apply(driver.plan({{"formats": formats, "devices": devices}}))
for listener in driver._listeners.values():
    for company in (1, 0x4C, 0x499):
        wanted = listener.wanted(Advert("AA:BB:CC:DD:EE:FF", 0, 0, {{}}, {{company: b"x"}}))
        if wanted is not None:
            listener.hear(wanted, 0, 0)
"""


def loaded(name: str, more: str = "") -> set[str]:
    code = BRIDGE.format(name=name, more=more)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_a_modbus_bridge_loads_no_bluetooth() -> None:
    assert loaded("modbus") == {"pymodbus"}


@pytest.mark.parametrize("profile", ["bthome", "bthome1", "atc"])
def test_a_ble_bridge_loads_cryptography_with_a_bind_key_only(profile: str) -> None:
    assert loaded("ble", BLE_DEVICES.format(keyed=profile, key={})) == {"bleak", "dbus_fast"}
    with_key = loaded("ble", BLE_DEVICES.format(keyed=profile, key={"bind_key": "0f" * 16}))
    assert with_key == {"bleak", "dbus_fast", "cryptography"}


def test_the_hub_s_check_loads_no_driver() -> None:
    code = "import sys, headgate.roles.hub_config as c; c.parse_site(b'schema: 1', 's'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"bleak", "dbus_fast", "pymodbus", "cryptography"} & set(done.stdout.split())


def test_the_installed_bleak_is_as_it_was_published() -> None:
    import headgate.ble.bleak_radio  # noqa: F401  # whatever it would patch is patched now

    files = [file for file in importlib.metadata.files("bleak") or [] if file.hash is not None]
    assert len(files) > 20
    for file in files:
        assert file.hash is not None
        digest = hashlib.new(file.hash.mode, file.locate().read_bytes()).digest()  # type: ignore[attr-defined]  # a Path
        assert base64.urlsafe_b64encode(digest).rstrip(b"=").decode() == file.hash.value
