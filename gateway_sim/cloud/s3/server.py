"""The stand-in's HTTP edge: heads are verified first, bodies go to disk in pieces, checksums decide."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import socket
import sys
import threading
import time
import zlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

from gateway_sim.cloud.s3 import xml
from gateway_sim.cloud.s3.errors import S3Error
from gateway_sim.cloud.s3.record import Faults, Put, Record
from gateway_sim.cloud.s3.service import Answer, Request, Service, request
from gateway_sim.cloud.s3.signature import UNSIGNED, Head, Verifier
from gateway_sim.cloud.s3.store import MAX_PART_BYTES, Body, Store

PIECE_BYTES: Final = 256 * 1024
# A refused body is read on to here, so that its sender sees the answer; S3 may just close the connection.
DRAINED_BYTES: Final = 64 * 1024**2
IDLE_S: Final = 60.0
SLOW_BYTES_PER_S: Final = 8 * 1024**2


class Cut(Exception):
    """The connection ends here, without an answer."""


class S3Server:
    """Serves from threads of its own between `start` and `close`."""

    def __init__(
        self, directory: Path, verifier: Verifier, *, now_s: Callable[[], float] = time.time
    ) -> None:
        self.verifier, self.now_s = verifier, now_s
        self.faults, self.record = Faults(), Record(directory / "s3.jsonl")
        self.store = Store(directory / "s3")
        self.service = Service(self.store, now_s)
        self._http = _Http(self)
        self._thread = threading.Thread(target=self._http.serve_forever, name="s3")

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self._http.server_port}"

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        self._http.shutdown()
        self._http.cut()
        self._http.server_close()
        self._thread.join()
        self.record.close()

    def cut(self) -> None:
        """Close every connection, and every new one, until `serve`."""
        self.faults.cutting = True
        self._http.cut()

    def serve(self) -> None:
        """End what `cut`, `faults.refusing` and `faults.slow` began."""
        self.faults.cutting = self.faults.refusing = self.faults.slow = False
        self.faults.cut_parts = 0

    def expire(self) -> None:
        """Every pre-signed URL made until now (to the second) is expired."""
        self.faults.none_before_s = self.now_s()


@contextlib.contextmanager
def running(directory: Path, verifier: Verifier) -> Iterator[S3Server]:
    server = S3Server(directory, verifier)
    server.start()
    try:
        yield server
    finally:
        server.close()


class _Http(ThreadingHTTPServer):
    """Knows its open connections, so that they can be cut."""

    daemon_threads = False  # server_close then waits for them; cut() has ended their connections
    request_queue_size = 128

    def __init__(self, s3: S3Server) -> None:
        self.s3 = s3
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is no event; anything else is a fault of the stand-in, and told."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)

    def cut(self) -> None:
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    """One connection, kept alive as boto3 and http.client like it."""

    protocol_version = "HTTP/1.1"
    server_version, sys_version = "AmazonS3", ""
    timeout = IDLE_S
    disable_nagle_algorithm = True
    server: _Http

    def do_GET(self) -> None:
        self._serve()

    def do_HEAD(self) -> None:
        self._serve()

    def do_PUT(self) -> None:
        self._serve()

    def do_POST(self) -> None:
        self._serve()

    def do_DELETE(self) -> None:
        self._serve()

    def log_message(self, format: str, *args: object) -> None:
        """`s3.jsonl` is the log."""

    def handle(self) -> None:
        with contextlib.suppress(ConnectionError):
            super().handle()

    def _serve(self) -> None:
        s3 = self.server.s3
        path, _, query = self.path.partition("?")
        head = Head(self.command, path, query, {k.lower(): v.strip() for k, v in self.headers.items()})
        self._received = self._drained = 0
        asked: Request | None = None
        answer, code = Answer(), ""
        try:
            asked = request(head)
            answer = self._answer(s3, asked)
        except S3Error as fault:
            answer, code = _refusal(fault, path), fault.code
            self._drain()
        except (Cut, ConnectionError, TimeoutError):
            self.close_connection = True
            self._record(asked, 0, "", again=False)
            return
        self._record(asked, answer.status, code, again=answer.again)
        self._send(answer)

    def _answer(self, s3: S3Server, asked: Request) -> Answer:
        if s3.faults.cutting:
            raise Cut
        if s3.faults.refusing:
            raise S3Error("SlowDown", "Please reduce your request rate.")
        s3.verifier.verify(asked.head, s3.now_s(), none_before_s=s3.faults.none_before_s)
        s3.service.check(asked)
        if self._announced() is None and "chunked" not in asked.header("transfer-encoding"):
            return s3.service.answer(asked)
        landing = s3.store.landing()
        try:
            body = self._land(s3, asked, landing)
            _check(asked, body, landing)
            answer = s3.service.answer(Request(asked.head, asked.bucket, asked.key, asked.query, body))
        except BaseException:
            landing.unlink(missing_ok=True)
            raise
        if asked.head.method != "PUT" or not asked.key:
            landing.unlink()
        return answer

    def _land(self, s3: S3Server, asked: Request, landing: Path) -> Body:
        """The body to its file, a piece at a time."""
        size_bytes = self._announced()
        if size_bytes is None:
            raise S3Error("NotImplemented", "a body of unknown length; send Content-Length")
        if size_bytes > MAX_PART_BYTES:
            raise S3Error("EntityTooLarge", f"{size_bytes} B is more than {MAX_PART_BYTES}")
        cut_at = size_bytes
        of_part = "uploadId" in asked.query and asked.head.method == "PUT"
        if of_part and s3.faults.cut_parts > 0:
            s3.faults.cut_parts -= 1
            cut_at = size_bytes // 2
        sha256, md5 = hashlib.sha256(), hashlib.md5(usedforsecurity=False)
        piece = memoryview(bytearray(min(PIECE_BYTES, max(1, size_bytes))))
        with landing.open("wb") as file:
            while self._received < cut_at:
                got = self.rfile.readinto1(piece[: min(len(piece), cut_at - self._received)])
                if not got:
                    raise Cut
                self._received += got
                for sink in (sha256.update, md5.update, file.write):
                    sink(piece[:got])
                if of_part and s3.faults.slow:
                    time.sleep(got / SLOW_BYTES_PER_S)
        if cut_at < size_bytes:
            self.connection.shutdown(socket.SHUT_RDWR)
            raise Cut
        return Body(landing, size_bytes, base64.b64encode(sha256.digest()).decode(), md5.hexdigest())

    def _announced(self) -> int | None:
        text = self.headers.get("Content-Length", "")
        return int(text) if text.isdecimal() else None

    def _drain(self) -> None:
        left = (self._announced() or 0) - self._received
        if left <= 0:
            return
        self.close_connection = left > DRAINED_BYTES or self.close_connection
        left = min(left, DRAINED_BYTES)
        with contextlib.suppress(OSError):
            while left > 0 and (got := len(self.rfile.read1(min(left, PIECE_BYTES)))):
                left -= got

    def _record(self, asked: Request | None, status: int, code: str, *, again: bool) -> None:
        if asked is None or self.command != "PUT" or not asked.key:
            return
        number = asked.query.get("partNumber", "")
        put = Put(
            t_ms=int(self.server.s3.now_s() * 1000),
            key=asked.key,
            upload_id=asked.query.get("uploadId", ""),
            part=int(number) if number.isdecimal() else 0,
            size_bytes=self._announced() or 0,
            received_bytes=self._received,
            status=status,
            code=code,
        )
        self.server.s3.record.add(put, again=again)

    def _send(self, answer: Answer) -> None:
        size_bytes = answer.end - answer.start if answer.found else len(answer.content)
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(size_bytes))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command == "HEAD":
            return
        self.wfile.write(answer.content)
        at = 0
        for piece in answer.found.pieces if answer.found else ():
            first, last = max(answer.start - at, 0), min(answer.end - at, piece.size_bytes)
            at += piece.size_bytes
            if first < last:
                with piece.path.open("rb") as file:
                    self.connection.sendfile(file, first, last - first)


def _refusal(fault: S3Error, resource: str) -> Answer:
    return Answer(fault.status, {"Content-Type": "application/xml"}, xml.error(fault, resource))


def _check(asked: Request, body: Body, landing: Path) -> None:
    """What the head says about the body must be true of what came."""
    wanted = asked.header("x-amz-checksum-sha256")
    if wanted and wanted != body.sha256:
        raise S3Error("BadDigest", "The SHA256 you specified did not match the calculated checksum.")
    signed = asked.header("x-amz-content-sha256")
    if signed.startswith("STREAMING-"):
        raise S3Error("NotImplemented", f"{signed} is not simulated")
    if signed not in ("", UNSIGNED) and base64.b64encode(_unhex(signed)).decode() != body.sha256:
        raise S3Error("XAmzContentSHA256Mismatch", "The provided 'x-amz-content-sha256' does not match.")
    crc32 = asked.header("x-amz-checksum-crc32")
    if crc32:
        found = base64.b64encode(_crc32(landing).to_bytes(4, "big")).decode()
        if crc32 != found:
            raise S3Error("BadDigest", "The CRC32 you specified did not match the calculated checksum.")


def _unhex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise S3Error("InvalidArgument", "x-amz-content-sha256 must be the hex digest of the body") from None


def _crc32(path: Path) -> int:
    reached = 0
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            reached = zlib.crc32(piece, reached)
    return reached
