"""The transports of a site document: what each means, its defaults, and what does not go together."""

from __future__ import annotations

from typing import Any

import pytest

from headgate.errors import Reject
from headgate.modbus.config import Device, parse_mapping
from headgate.modbus.transports import (
    Ascii,
    Rtu,
    RtuOverTcp,
    Tcp,
    Tls,
    Transport,
    Udp,
    longest_frame_ms,
    numbered,
    silence_ms,
)

FILES = {"ca": "/c/ca.pem", "cert": "/c/gw.pem", "key": "/c/gw.key"}


def devices(*transports: dict[str, Any], **more: Any) -> tuple[Device, ...]:
    tag = {"name": "x", "table": "holding", "address": 7, "type": "uint16"}
    group = {"name": "g", "interval_s": 1, "tags": [tag]}
    return parse_mapping(
        {
            "devices": [
                {"name": f"d{i}", "transport": transport, "groups": [group]} | more
                for i, transport in enumerate(transports)
            ]
        }
    ).devices


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ({"kind": "tcp", "host": "h"}, Tcp("h", 502)),
        ({"kind": "udp", "host": "h", "port": 1502}, Udp("h", 1502)),
        ({"kind": "rtu_over_tcp", "host": "h", "port": 4001}, RtuOverTcp("h", 4001)),
        ({"kind": "tls", "host": "h", **FILES}, Tls("h", 802, "/c/ca.pem", "/c/gw.pem", "/c/gw.key", "h")),
        (
            {"kind": "tls", "host": "192.0.2.1", "server_name": "meter", **FILES},
            Tls("192.0.2.1", 802, "/c/ca.pem", "/c/gw.pem", "/c/gw.key", "meter"),
        ),
        ({"kind": "rtu", "path": "/dev/ttyUSB0"}, Rtu("/dev/ttyUSB0", 19_200, "N", 1)),
        ({"kind": "ascii", "path": "/dev/ttyUSB0"}, Ascii("/dev/ttyUSB0", 19_200, "E", 1, 7)),
        (
            {"kind": "ascii", "path": "/dev/ttyUSB0", "bytesize": 8, "parity": "N", "stopbits": 2},
            Ascii("/dev/ttyUSB0", 19_200, "N", 2, 8),
        ),
    ],
)
def test_each_kind_and_its_defaults(given: dict[str, Any], meant: Transport) -> None:
    assert devices(given)[0].transport == meant


def test_the_times_of_a_device() -> None:
    (device,) = devices({"kind": "tcp", "host": "h"})
    assert (device.connect_timeout_s, device.timeout_s, device.retries) == (3.0, 1.0, 1)
    assert (device.pause_after_connect_s, device.pause_between_requests_s) == (0.0, 0.0)
    assert not device.single_connection
    (device,) = devices({"kind": "tcp", "host": "h"}, connect_timeout_s=0.25, timeout_s="0.05")
    assert (device.connect_timeout_s, device.timeout_s) == (0.25, 0.05)


@pytest.mark.parametrize(
    ("given", "part"),
    [
        ({"kind": "tsl", "host": "h"}, "transport.kind: unknown 'tsl' (did you mean 'tls'?"),
        ({"kind": "udp"}, "transport.host: is missing"),
        ({"kind": "ascii", "path": "/dev/ttyS0", "bytesize": 9}, "bytesize: 9 is out of range (7 to 8)"),
        ({"kind": "rtu", "path": "/dev/ttyS0", "bytesize": 8}, "bytesize: unknown key"),
        ({"kind": "tls", "host": "h", "ca": "/c"}, "transport.cert: is missing"),
        ({"kind": "tls", "host": "h", "ca": "/c"}, "transport.key: is missing"),
        (
            {"kind": "tls", "host": "h", **FILES, "ca": "ca.pem"},
            "transport.ca: 'ca.pem' is not allowed here (the absolute path of a PEM file)",
        ),
    ],
)
def test_each_fault_names_its_key(given: dict[str, Any], part: str) -> None:
    with pytest.raises(Reject) as caught:
        devices(given)
    assert part in str(caught.value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"kind": "rtu", "path": "/dev/a"}, {"kind": "rtu", "path": "/dev/a", "baudrate": 9600}),
        ({"kind": "rtu", "path": "/dev/a"}, {"kind": "ascii", "path": "/dev/a"}),
        ({"kind": "tcp", "host": "h"}, {"kind": "rtu_over_tcp", "host": "h"}),
        ({"kind": "tls", "host": "h", **FILES}, {"kind": "tls", "host": "h", **FILES, "server_name": "m"}),
    ],
)
def test_a_line_has_one_set_of_parameters(one: dict[str, Any], other: dict[str, Any]) -> None:
    with pytest.raises(Reject, match=r"devices\[1\]\.transport: .* has other parameters here"):
        devices(one, other)
    assert len(devices(one, one)) == 2


def test_udp_and_tcp_ports_are_different_places() -> None:
    assert len(devices({"kind": "tcp", "host": "h"}, {"kind": "udp", "host": "h"})) == 2


@pytest.mark.parametrize("kind", ["rtu", "ascii", "rtu_over_tcp"])
def test_a_broadcast_is_refused_on_a_serial_line(kind: str) -> None:
    where = {"host": "h"} if kind == "rtu_over_tcp" else {"path": "/dev/a"}
    with pytest.raises(Reject, match=r"devices\[0\]\.unit: 0 is a broadcast"):
        devices({"kind": kind, **where}, unit=0)
    assert devices({"kind": "tcp", "host": "h"}, unit=0)[0].unit == 0


def test_which_replies_bear_a_number() -> None:
    assert all(numbered(each) for each in (Tcp("h", 1), Udp("h", 1), Tls("h", 1, "", "", "", "")))
    serial = (Rtu("p", 9600, "N", 1), Ascii("p", 9600, "N", 1, 7), RtuOverTcp("h", 1))
    assert not any(numbered(each) for each in serial)


def test_the_silence_between_frames_follows_the_rate() -> None:
    assert [silence_ms(Rtu("p", rate, "N", 1)) for rate in (1200, 9600, 19_200, 115_200)] == [33, 5, 3, 3]
    assert silence_ms(Ascii("p", 1200, "N", 1, 7)) == silence_ms(Tcp("h", 1)) == 0
    assert longest_frame_ms(Rtu("p", 9600, "N", 1)) == 587
    assert longest_frame_ms(Tcp("h", 1)) == 0
