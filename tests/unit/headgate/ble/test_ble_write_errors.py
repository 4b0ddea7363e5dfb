"""What a failed write over bleak means: refused, perhaps done, or not sent."""

from __future__ import annotations

import pytest
from bleak.exc import BleakDBusError, BleakError, BleakGATTProtocolError, BleakGATTProtocolErrorCode

from headgate.ble.bleak_radio import write_error
from headgate.errors import HeadgateError, Retry
from headgate.write_steps import Denied, Unconfirmed


def dbus(name: str, text: str = "") -> BleakDBusError:
    return BleakDBusError(name, [text])


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (BleakGATTProtocolError(BleakGATTProtocolErrorCode.WRITE_NOT_PERMITTED), Denied),
        (BleakGATTProtocolError(BleakGATTProtocolErrorCode.INVALID_ATTRIBUTE_VALUE_LENGTH), Denied),
        (BleakGATTProtocolError(BleakGATTProtocolErrorCode(0x80)), Denied),
        (BleakGATTProtocolError(BleakGATTProtocolErrorCode.UNLIKELY_ERROR), Unconfirmed),
        (dbus("org.bluez.Error.NotPermitted", "Not paired"), Denied),
        (dbus("org.bluez.Error.Failed", "Not connected"), Retry),
        (dbus("org.freedesktop.DBus.Error.UnknownObject"), Retry),
        (dbus("org.freedesktop.DBus.Error.ServiceUnknown"), Retry),
        (dbus("org.bluez.Error.Failed", "Operation failed"), Unconfirmed),
        (dbus("org.freedesktop.DBus.Error.NoReply"), Unconfirmed),
        (BleakError("disconnected"), Unconfirmed),
        (EOFError(), Unconfirmed),
        (TimeoutError(), Unconfirmed),
    ],
)
def test_an_error_says_no_more_than_is_known(error: Exception, kind: type[HeadgateError]) -> None:
    found = write_error("2a19", error)
    assert type(found) is kind
    assert "characteristic 2a19" in str(found)
    assert ("whether it was written is not known" in str(found)) == (kind is Unconfirmed)
