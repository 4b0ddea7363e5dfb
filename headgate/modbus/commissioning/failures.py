"""What went wrong, with the way out, and the exit code for it."""

from __future__ import annotations

import errno
from pathlib import Path

from headgate.commands.exits import (
    BUSY,
    CANNOT_CREATE,
    NO_INPUT,
    NO_PERMISSION,
    SOFTWARE,
    UNAVAILABLE,
    USAGE,
    Usage,
)
from headgate.errors import Fatal, HeadgateError, Reject
from headgate.modbus.client import AbsentUnit, ExceptionReply, NoReply, NotConnected, WrongReply
from headgate.modbus.commissioning.holders import holders
from headgate.modbus.transports import Ascii, Rtu, Tls, Transport

_BUSY_HINT = (
    "a serial port has one user at a time. If that is the gateway, ask it (bin/headgate read), or stop "
    "headgate.ModbusBridge for as long as this takes"
)
_PERMISSION_HINT = "sudo usermod -aG dialout $USER and log in anew, or run this as the gateway's user"
_REFUSED_HINT = (
    "check the port (502 is usual) and that Modbus is enabled in the device; one that serves a single client "
    "may be taken by the gateway"
)


class CannotCreate(Exception):
    """The output file cannot be written, or is there already."""


def explained(error: Exception, transport: Transport | None) -> tuple[str, int]:
    """A message that says the way out, and the exit code."""
    if isinstance(error, Usage | Reject):
        return str(error), USAGE
    if isinstance(error, CannotCreate):
        return str(error), CANNOT_CREATE
    if isinstance(error, NotConnected) and transport is not None:
        cause: BaseException | None = error
        while cause is not None and cause.__cause__ is not None:
            cause = cause.__cause__
        if isinstance(transport, Rtu | Ascii):
            return _port_fault(error, cause, transport.path)
        return _network_fault(error, cause, transport)
    if isinstance(error, NoReply | AbsentUnit):
        return f"{error}; {_silence_hint(transport)}", UNAVAILABLE
    if isinstance(error, WrongReply):
        hint = "another device is on the line, or its parameters are wrong (baud rate, parity, kind)"
        return f"{error}; {hint}", UNAVAILABLE
    if isinstance(error, ExceptionReply):
        return f"the device refuses: {error}; other registers, or another table, may do", UNAVAILABLE
    if isinstance(error, Fatal):
        return str(error), SOFTWARE
    if isinstance(error, HeadgateError):
        return str(error), UNAVAILABLE
    raise error


def _port_fault(error: NotConnected, cause: BaseException | None, path: str) -> tuple[str, int]:
    # termios.error is no OSError, but begins with the number too.
    number = next(iter(cause.args), None) if cause is not None else None
    if number in (errno.EWOULDBLOCK, errno.EBUSY):
        found = holders(path)
        by = f" by {', '.join(found)}" if found else ""
        return f"{path} is in use{by}: {_BUSY_HINT}", BUSY
    if number == errno.ENOENT:
        ports = sorted(str(each) for each in Path("/dev/serial/by-id").glob("*"))
        known = f"there are {', '.join(ports)}" if ports else "no serial adapter is plugged in"
        return f"{path} is not there: {known} (ls -l /dev/serial/by-id)", NO_INPUT
    if number == errno.EACCES:
        return f"{path} may not be opened by this user: {_PERMISSION_HINT}", NO_PERMISSION
    if number == errno.ENOTTY:
        return f"{path} is no serial port", NO_INPUT
    if number == errno.EINVAL:
        return f"{path} does not take these parameters (baud rate, parity, stop bits)", NO_INPUT
    return str(error), UNAVAILABLE


def _network_fault(error: NotConnected, cause: BaseException | None, transport: Transport) -> tuple[str, int]:
    if isinstance(cause, ConnectionRefusedError):
        return f"{error}; nothing listens there: {_REFUSED_HINT}", UNAVAILABLE
    if isinstance(cause, TimeoutError):
        return f"{error}; check the address, the cable and the network mask (ping)", UNAVAILABLE
    if isinstance(transport, Tls):
        return f"{error}; check the files and whom the device's certificate names", UNAVAILABLE
    if isinstance(cause, OSError):
        return f"{error}; check the host name and the route to it", UNAVAILABLE
    return f"{error}; a device that serves one client at a time may be taken by the gateway", UNAVAILABLE


def _silence_hint(transport: Transport | None) -> str:
    if isinstance(transport, Rtu | Ascii):
        return (
            "check the unit id, baud rate and parity (scan tries several: --baud 9600,19200 --parity N,E), "
            "A and B swapped, termination, power; then a longer --timeout"
        )
    return "check the unit id (scan finds those that answer), then a longer --timeout"
