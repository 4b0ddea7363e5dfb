"""A transport as the site document writes it; pure."""

from __future__ import annotations

from typing import Any

from headgate.modbus.transports import Ascii, Rtu, RtuOverTcp, Tcp, Tls, Transport, Udp


def settings(transport: Transport) -> dict[str, Any]:
    """The `transport:` of a device."""
    match transport:
        case Tcp(host, port):
            return {"kind": "tcp", "host": host, "port": port}
        case Udp(host, port):
            return {"kind": "udp", "host": host, "port": port}
        case RtuOverTcp(host, port):
            return {"kind": "rtu_over_tcp", "host": host, "port": port}
        case Tls(host, port, ca, cert, key, server_name):
            files = {"ca": ca, "cert": cert, "key": key, "server_name": server_name}
            return {"kind": "tls", "host": host, "port": port, **files}
        case Rtu(path, baudrate, parity, stopbits):
            line = {"path": path, "baudrate": baudrate, "parity": parity, "stopbits": stopbits}
            return {"kind": "rtu", **line}
        case Ascii(path, baudrate, parity, stopbits, bytesize):
            line = {"path": path, "baudrate": baudrate, "parity": parity, "stopbits": stopbits}
            return {"kind": "ascii", **line, "bytesize": bytesize}
