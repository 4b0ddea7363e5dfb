"""Parts and lists over a real connection to a server that misbehaves as told."""

from __future__ import annotations

import asyncio
import contextlib
import io
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from headgate.errors import Reject
from headgate.files import wire as wires
from headgate.files.transfer import Verdict
from headgate.files.wire import Wire, target_of
from headgate.threads import Cancel, Ended, in_thread

SIGNED = "X-Amz-SignedHeaders=host%3Bx-amz-checksum-sha256"
SIZE = 3 * 1024**2 + 5


@dataclass
class Server:
    """Answers each request with the next of `answers`; None closes the connection instead.

    `read_all` False answers as soon as the head is there, and closes.
    """

    answers: list[bytes | None] = field(default_factory=list)
    read_all: bool = True
    heads: list[str] = field(default_factory=list)
    bodies: list[int] = field(default_factory=list)
    connections: int = 0

    def __post_init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def url(self, query: str = SIGNED) -> str:
        return f"http://127.0.0.1:{self.port}/part?{query}"

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.connections += 1
            with connection, connection.makefile("rb") as stream, contextlib.suppress(OSError):
                self._converse(connection, stream)

    def _converse(self, connection: socket.socket, stream: io.BufferedReader) -> None:
        while self.answers and (head := self._head(stream)):
            size_bytes = next(
                (int(line.split(":")[1]) for line in head.split("\r\n") if "Content-Length" in line), 0
            )
            self.heads.append(head)
            self.bodies.append(len(stream.read(size_bytes)) if self.read_all else 0)
            answer = self.answers.pop(0)
            if answer is None:
                return
            connection.sendall(answer)
            if not self.read_all:
                return

    def _head(self, stream: io.BufferedReader) -> str:
        lines = []
        while (line := stream.readline().decode()) not in ("\r\n", ""):
            lines.append(line)
        return "".join(lines)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    try:
        yield server
    finally:
        server.close()


@pytest.fixture
def wire() -> Iterator[Wire]:
    wire = Wire(timeout_s=2)
    yield wire
    wire.close()


def answer(status: int, body: bytes = b"", *more: str) -> bytes:
    head = [f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *more]
    return "\r\n".join([*head, "", ""]).encode() + body


def put(wire: Wire, url: str, size_bytes: int = SIZE) -> tuple[Verdict, str]:
    outcome = wire.put(url, io.BytesIO(b"x" * size_bytes), 0, size_bytes, "c" * 43 + "=", Cancel())
    assert "?" not in outcome.detail, "a signed URL must not be told to anybody"
    return outcome.verdict, outcome.detail


def fault(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>no</Message></Error>".encode()


def test_parts_go_over_one_connection_with_what_is_demanded(server: Server, wire: Wire) -> None:
    server.answers = [answer(200), answer(200), answer(200)]
    assert [put(wire, server.url(), size)[0] for size in (SIZE, 1, 0)] == [Verdict.DONE] * 3
    assert (server.bodies, server.connections) == ([SIZE, 1, 0], 1)
    names = [line.split(":")[0].lower() for line in server.heads[0].splitlines()[1:]]
    assert sorted(names) == ["content-length", "host", "x-amz-checksum-sha256"]


@pytest.mark.parametrize(
    ("status", "code", "verdict"),
    [
        (403, "AccessDenied", Verdict.DENIED),
        (403, "SignatureDoesNotMatch", Verdict.DENIED),
        (400, "InvalidRequest", Verdict.DENIED),
        (301, "PermanentRedirect", Verdict.DENIED),
        (400, "BadDigest", Verdict.MISMATCH),
        (404, "NoSuchUpload", Verdict.GONE),
        (503, "SlowDown", Verdict.AGAIN),
        (400, "RequestTimeout", Verdict.AGAIN),
        (500, "InternalError", Verdict.UNSURE),
    ],
)
def test_what_answers_mean(server: Server, wire: Wire, status: int, code: str, verdict: Verdict) -> None:
    server.answers = [answer(status, fault(code))]
    assert put(wire, server.url()) == (verdict, f"S3 answered {status} {code}")


def test_an_answer_before_the_end_is_heard(server: Server, wire: Wire) -> None:
    server.read_all = False
    server.answers = [answer(403, fault("AccessDenied"), "Connection: close")]
    verdict, _ = put(wire, server.url(), 64 * 1024**2)
    # Whether the answer outruns the reset is up to the kernel.
    assert verdict in (Verdict.DENIED, Verdict.AGAIN)


def test_a_line_that_is_cut_before_and_after_the_body(server: Server, wire: Wire) -> None:
    server.answers = [None]
    assert put(wire, server.url())[0] is Verdict.UNSURE
    server.read_all = False
    server.answers = [None]
    assert put(wire, server.url(), 64 * 1024**2)[0] is Verdict.AGAIN


def test_a_kept_connection_that_the_server_closed_is_not_used(server: Server, wire: Wire) -> None:
    server.answers = [answer(200)]  # it closes a connection once it has no answer left
    assert put(wire, server.url(), 1)[0] is Verdict.DONE
    kept = wire._connection
    assert kept is not None
    assert kept.sock is not None
    kept.sock.settimeout(2)
    assert kept.sock.recv(1, socket.MSG_PEEK) == b""
    server.answers = [answer(200)]
    assert put(wire, server.url(), 1)[0] is Verdict.DONE
    assert server.connections == 2


def test_nobody_there(server: Server, wire: Wire) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}/part?{SIGNED}"
        assert put(wire, url)[0] is Verdict.AGAIN
        assert wire.get(url, Cancel()).verdict is Verdict.AGAIN


def test_a_list_is_bounded(server: Server, wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wires, "MAX_LIST_BYTES", 10)
    server.answers = [answer(200, b"0123456789")]
    assert wire.get(server.url(), Cancel()).data == b"0123456789"
    server.answers = [answer(200, b"01234567890")]
    assert wire.get(server.url(), Cancel()).verdict is Verdict.DENIED


def test_a_url_that_is_no_good_is_never_called(server: Server, wire: Wire) -> None:
    for query in ("", "X-Amz-SignedHeaders=host", SIGNED + "%3Bx-amz-acl"):
        assert put(wire, server.url(query))[0] is Verdict.DENIED
    for url in ("http://192.0.2.1/x", "ftp://127.0.0.1/x", "https://", "https://x:y/", "https://h/a b", "x"):
        with pytest.raises(Reject):
            target_of(url)
        assert put(wire, url)[0] is Verdict.DENIED
        assert wire.get(url, Cancel()).verdict is Verdict.DENIED
    assert server.connections == 0


async def test_a_cancelled_part_ends_at_once() -> None:
    """The server says nothing at all; the thread must not wait for its timeout."""
    slow = Wire(timeout_s=60)
    waiting = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Silent(io.BytesIO):
        def readinto(self, buffer: bytearray | memoryview) -> int:  # type: ignore[override]
            loop.call_soon_threadsafe(waiting.set)
            return super().readinto(buffer)

    listener = socket.create_server(("127.0.0.1", 0))
    url = f"http://127.0.0.1:{listener.getsockname()[1]}/part?{SIGNED}"
    try:
        task = asyncio.create_task(
            in_thread(lambda cancel: slow.put(url, Silent(b"x"), 0, 1, "c", cancel), "part")
        )
        await waiting.wait()
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert slow._connection is None
    finally:
        listener.close()


async def test_errors_of_the_thread_are_those_of_the_caller() -> None:
    def work(cancel: Cancel) -> None:
        cancel.request()
        cancel.check()

    with pytest.raises(Ended):
        await in_thread(work, "work")
