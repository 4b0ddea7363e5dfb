"""The `transport:` of a device in a site document: which line it is on, as frozen types."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from headgate.config.reader import Section

Parity = Literal["N", "E", "O"]
PARITIES: tuple[Parity, ...] = ("N", "E", "O")
PORT = 502
TLS_PORT = 802
"""The registered ports of Modbus TCP and of Modbus Security (MODBUS/TCP Security v36, 2021)."""


@dataclass(frozen=True, slots=True)
class Tcp:
    """A Modbus TCP endpoint."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Udp:
    """A Modbus TCP frame in each datagram."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"udp {self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class RtuOverTcp:
    """A serial server: RTU frames, with their checksum, in a TCP stream."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Tls:
    """A Modbus Security endpoint; files are PEM. `server_name` is whom its certificate must name."""

    host: str
    port: int
    ca: str
    cert: str
    key: str
    server_name: str

    def __str__(self) -> str:
        return f"tls {self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Rtu:
    """A serial line that speaks Modbus RTU, 8 data bits."""

    path: str
    baudrate: int
    parity: Parity
    stopbits: int

    def __str__(self) -> str:
        return self.path


@dataclass(frozen=True, slots=True)
class Ascii:
    """A serial line that speaks Modbus ASCII."""

    path: str
    baudrate: int
    parity: Parity
    stopbits: int
    bytesize: int

    def __str__(self) -> str:
        return self.path


Transport = Tcp | Udp | RtuOverTcp | Tls | Rtu | Ascii
Kind = Literal["tcp", "udp", "rtu", "ascii", "rtu_over_tcp", "tls"]
KINDS: tuple[Kind, ...] = ("tcp", "udp", "rtu", "ascii", "rtu_over_tcp", "tls")
SERIAL_BITS = 11
"""Of a character on a serial line: start, eight data, parity or a second stop, stop (V1.02, 2.5.1)."""
FAST_BAUDRATE = 19_200
FAST_SILENCE_MS = 3
"""Above this rate 1.75 ms stand for 3.5 characters (V1.02, 2.5.1.1); clocks of whole ms may lose one."""
LONGEST_FRAME = 513
"""Characters of the longest frame, which is ASCII's (V1.02, 2.5.2.1)."""


def numbered(transport: Transport) -> bool:
    """Whether a reply bears its request's transaction id: without one, a late reply looks like the next."""
    return isinstance(transport, Tcp | Udp | Tls)


def silence_ms(transport: Transport) -> int:
    """The silence that parts two frames on a serial line; 0 where something else parts them."""
    if not isinstance(transport, Rtu):
        return 0
    if transport.baudrate > FAST_BAUDRATE:
        return FAST_SILENCE_MS
    return -(-3500 * SERIAL_BITS // transport.baudrate)


def longest_frame_ms(transport: Transport) -> int:
    """How long the longest frame takes on a serial line; 0 where that is not known."""
    if not isinstance(transport, Rtu | Ascii):
        return 0
    return LONGEST_FRAME * SERIAL_BITS * 1000 // transport.baudrate


def endpoint(transport: Transport) -> str:
    """What only one line can be on; empty while the document does not say."""
    if isinstance(transport, Rtu | Ascii):
        return transport.path
    if not transport.host:
        return ""
    return f"{'udp ' if isinstance(transport, Udp) else ''}{transport.host}:{transport.port}"


def read_transport(section: Section) -> Transport:
    """Read a `transport:` section; faults go to the section's problems."""
    if not section.has("kind"):
        section.fault("kind", "is missing", "known are " + ", ".join(KINDS))
        section.items()  # what belongs here depends on the kind: no further complaints
        return Tcp("", PORT)
    kind = section.choice("kind", KINDS)
    transport: Transport
    match kind:
        case "tcp":
            transport = Tcp(_host(section), _port(section, PORT))
        case "udp":
            transport = Udp(_host(section), _port(section, PORT))
        case "rtu_over_tcp":
            transport = RtuOverTcp(_host(section), _port(section, PORT))
        case "tls":
            host = _host(section)
            files = [_file(section, key) for key in ("ca", "cert", "key")]
            name = section.text("server_name", host, pattern=r"\S+", hint="a host name or address")
            transport = Tls(host, _port(section, TLS_PORT), files[0], files[1], files[2], name)
        case "rtu":
            transport = Rtu(*_serial(section, "N"))
        case "ascii":
            transport = Ascii(*_serial(section, "E"), section.integer("bytesize", 7, low=7, high=8))
    section.close()
    return transport


def refuse_torn_lines(transports: Sequence[tuple[str, Transport]], section: Section) -> None:
    """Devices may share a line, but a line has one set of parameters; given with each transport's path."""
    lines: dict[str, tuple[str, Transport]] = {}
    for path, transport in transports:
        where = endpoint(transport)
        at, former = lines.setdefault(where, (path, transport))
        if where and former != transport:
            section.problems.add(
                path,
                f"{where} has other parameters here",
                f"than in {at}; a line has one set",
            )


def _host(section: Section) -> str:
    return section.text("host", pattern=r"\S+", hint="a host name or address")


def _port(section: Section, default: int) -> int:
    return section.integer("port", default, low=1, high=65_535)


def _file(section: Section, key: str) -> str:
    return section.text(key, pattern=r"/.+", hint="the absolute path of a PEM file")


def _serial(section: Section, parity: Parity) -> tuple[str, int, Parity, int]:
    return (
        section.text("path", pattern=r"\S+", hint="a serial device such as /dev/serial/by-id/usb-..."),
        section.integer("baudrate", 19_200, low=50, high=4_000_000),
        section.choice("parity", PARITIES, parity),
        section.integer("stopbits", 1, low=1, high=2),
    )
