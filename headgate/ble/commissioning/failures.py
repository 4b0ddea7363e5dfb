"""What went wrong, with the way out, and the exit code for it."""

from __future__ import annotations

from headgate.ble.bluez import BluezController
from headgate.ble.radio import Busy
from headgate.clock import Clock
from headgate.commands.exits import BUSY, NO_INPUT, NO_PERMISSION, SOFTWARE, UNAVAILABLE, USAGE
from headgate.errors import Fatal, HeadgateError, Reject, Retry

DENIED = ("AccessDenied", "not allowed", "rejected send message")
"""As dbus-daemon says it (its policy for org.bluez is in /etc/dbus-1/system.d/bluetooth.conf)."""
_SERVICE_HINT = "sudo systemctl start bluetooth; systemctl status bluetooth says why it ended"


class NoAdapter(Retry):
    """There is no adapter of that name."""


class Unavailable(Retry):
    """The Bluetooth service or the adapter is not ready."""


class InUse(Retry):
    """Somebody else is connected to the device."""


async def check(adapter: str, clock: Clock) -> None:
    """Whether an adapter can be used. Raises NoAdapter or Unavailable, with what to do."""
    try:
        state, known = await BluezController(adapter, clock).look()
    except Retry as error:
        raise Unavailable(f"{error}; is D-Bus installed and running (dbus.service)?") from error
    if not state.service:
        raise Unavailable(f"the Bluetooth service (bluetoothd) does not run: {_SERVICE_HINT}")
    if not state.present:
        there = f"there is {', '.join(known)} (--adapter)" if known else "there is none at all"
        raise NoAdapter(f"there is no adapter {adapter}: {there}; plug it in, or look with hciconfig, dmesg")
    if not state.powered:
        raise Unavailable(
            f"adapter {adapter} is switched off: bluetoothctl power on, or rfkill unblock bluetooth"
        )


def explained(error: HeadgateError) -> tuple[str, int]:
    """A message that says the way out, and the exit code."""
    text = str(error)
    if isinstance(error, NoAdapter):
        return text, NO_INPUT
    if isinstance(error, InUse):
        return text, BUSY
    if isinstance(error, Busy):
        hint = (
            "a scan of before was not ended: switch the adapter off and on (bluetoothctl power off, power on)"
        )
        return f"{text}; {hint}", BUSY
    if any(each in text for each in DENIED):
        hint = "sudo usermod -aG bluetooth $USER and log in anew, or run this as the gateway's user"
        return f"{text}; {hint}", NO_PERMISSION
    if isinstance(error, Fatal):
        return text, SOFTWARE
    return text, USAGE if isinstance(error, Reject) else UNAVAILABLE
