"""Modbus Security over real TLS: both sides prove themselves, and each failure says what is wrong."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Authority, Identity
from tests.support.modbus_driven import Driven, QuickClock, driven
from tests.support.modbus_peer import Peer, TcpFraming, serving

TAGS = [{"name": "x", "table": "holding", "address": 0, "type": "uint16"}]


def server_context(authority: Authority, identity: Identity) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(authority.ca))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(identity.cert, identity.key)
    return context


def device(line: dict[str, Any], authority: Authority, identity: Identity, **more: str) -> dict[str, Any]:
    files = {"ca": str(authority.ca), "cert": str(identity.cert), "key": str(identity.key)}
    group = {"name": "g", "interval_s": 0.1, "tags": TAGS}
    return {"name": "d", "transport": line | files | more, "groups": [group]}


def other_authority(directory: Path) -> Authority:
    directory.mkdir()
    return Authority(directory)


@contextmanager
def refusing(tls: ssl.SSLContext) -> Iterator[dict[str, Any]]:
    """A server that says why it refuses a certificate, which asyncio's does not; it never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        ended = threading.Event()

        def serve() -> None:
            while not ended.is_set():
                connection, _ = listener.accept()
                with tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False) as secured:
                    with contextlib.suppress(OSError):
                        secured.do_handshake()
                        secured.recv(1)
                    _linger(secured)

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield {"kind": "tls", "host": "127.0.0.1", "port": port}
        finally:
            ended.set()
            socket.create_connection(("127.0.0.1", port)).close()
            thread.join()


def _linger(connection: socket.socket) -> None:
    """Take what still comes: a socket closed over it is reset, and the alert before is lost with it."""
    connection.settimeout(2)
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_WR)
        while socket.socket.recv(connection, 4096):  # the bytes, not what TLS makes of them
            pass


async def first_fault(got: Driven) -> str:
    await got.until(lambda: bool(got.said) and bool(got.values("d/x")))
    assert {value for value, _ in got.values("d/x")} == {None}
    return got.said[0]


async def test_values_come_through_tls(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    tls = server_context(authority, authority.issue("meter"))
    async with (
        serving(Peer(TcpFraming()), "tls", tls=tls) as line,
        driven(device(line, authority, authority.issue("gateway")), clock=QuickClock()) as got,
    ):
        await got.until(lambda: len(got.values("d/x")) >= 5)
        assert set(got.values("d/x")) == {(1000, 0)}


async def test_a_device_of_another_ca_is_refused(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path), other_authority(tmp_path / "other")
    tls = server_context(authority, stranger.issue("meter"))
    async with (
        serving(Peer(TcpFraming()), "tls", tls=tls) as line,
        driven(device(line, authority, authority.issue("gateway"))) as got,
    ):
        said = await first_fault(got)
        assert "the device's certificate is refused: " in said
        assert "issuer certificate" in said


async def test_a_device_of_another_name_is_refused(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    tls = server_context(authority, authority.issue("meter"))
    async with (
        serving(Peer(TcpFraming()), "tls", tls=tls) as line,
        driven(device(line, authority, authority.issue("gateway"), server_name="meter-7")) as got,
    ):
        said = await first_fault(got)
        assert "certificate is not valid for 'meter-7'" in said


async def test_an_expired_certificate_of_the_device_is_refused(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    past = (datetime.now(UTC) - timedelta(days=9), datetime.now(UTC) - timedelta(days=1))
    tls = server_context(authority, authority.issue("meter", valid=past))
    async with (
        serving(Peer(TcpFraming()), "tls", tls=tls) as line,
        driven(device(line, authority, authority.issue("gateway"))) as got,
    ):
        assert "the device's certificate is refused: certificate has expired" in await first_fault(got)


async def test_an_expired_certificate_of_ours_is_told(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    past = (datetime.now(UTC) - timedelta(days=9), datetime.now(UTC) - timedelta(days=1))
    tls = server_context(authority, authority.issue("meter"))
    with refusing(tls) as line:
        async with driven(device(line, authority, authority.issue("gateway", valid=past))) as got:
            assert "the device says that our certificate has expired" in await first_fault(got)
    async with (
        serving(Peer(TcpFraming()), "tls", tls=tls) as line,
        driven(device(line, authority, authority.issue("gateway", valid=past))) as got,
    ):
        assert "closed the connection before any reply" in await first_fault(
            got
        )  # it hangs up without a word


async def test_a_device_that_does_not_know_our_ca_is_told(tmp_path: Path) -> None:
    authority, stranger = Authority(tmp_path), other_authority(tmp_path / "other")
    tls = server_context(authority, authority.issue("meter"))
    with refusing(tls) as line:
        async with driven(device(line, authority, stranger.issue("gateway"))) as got:
            assert "the device does not know the CA of our certificate" in await first_fault(got)
    async with (
        serving(Peer(TcpFraming()), "tls", tls=tls) as line,
        driven(device(line, authority, stranger.issue("gateway"))) as got,
    ):
        assert "closed the connection before any reply" in await first_fault(
            got
        )  # it hangs up without a word


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ca": "/nowhere/ca.pem"}, "cannot read ca /nowhere/ca.pem: No such file or directory"),
        ({"cert": "/nowhere/gw.pem"}, "cannot read cert /nowhere/gw.pem: No such file or directory"),
        ({"key": "/nowhere/gw.key"}, "cannot read key /nowhere/gw.key: No such file or directory"),
    ],
)
async def test_a_missing_file_is_named(tmp_path: Path, change: dict[str, str], words: str) -> None:
    authority = Authority(tmp_path)
    line = {"kind": "tls", "host": "127.0.0.1", "port": 1}
    async with driven(device(line, authority, authority.issue("gateway"), **change)) as got:
        assert words in await first_fault(got)


async def test_files_that_do_not_belong_together_are_named(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    one, other = authority.issue("gateway"), authority.issue("other")
    line = {"kind": "tls", "host": "127.0.0.1", "port": 1}
    async with driven(device(line, authority, Identity(one.cert, other.key))) as got:
        assert "do not belong together" in await first_fault(got)
    async with driven(device(line, authority, Identity(authority.ca, authority.ca))) as got:
        assert "are not a certificate and its key in PEM" in await first_fault(got)
    async with driven(device(line, authority, one, ca=str(one.key))) as got:
        assert "holds no certificate in PEM" in await first_fault(got)


async def test_a_device_without_tls_is_told(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    async with (
        serving(Peer(TcpFraming()), "tcp") as line,
        driven(device(line | {"kind": "tls"}, authority, authority.issue("gateway"))) as got,
    ):
        said = await first_fault(got)
        assert "tls 127.0.0.1:" in said


async def test_a_device_that_speaks_only_old_tls_is_refused(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    tls = server_context(authority, authority.issue("meter"))
    with pytest.warns(DeprecationWarning, match="TLSv1 is deprecated"):
        tls.minimum_version = ssl.TLSVersion.TLSv1
    with pytest.warns(DeprecationWarning, match="TLSv1_1 is deprecated"):
        tls.maximum_version = ssl.TLSVersion.TLSv1_1
    async with (
        serving(Peer(TcpFraming()), "tls", tls=tls) as line,
        driven(device(line, authority, authority.issue("gateway"))) as got,
    ):
        assert "cannot open tls 127.0.0.1:" in await first_fault(got)
