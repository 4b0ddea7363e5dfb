"""Pre-signed URLs of S3 over http.client: a part is streamed through one buffer, a list is read whole."""

from __future__ import annotations

import http.client
import ipaddress
import re
import socket
import ssl
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from headgate.errors import Reject
from headgate.files.plan import CHUNK_BYTES, read_exactly
from headgate.files.transfer import Verdict
from headgate.threads import Cancel

TIMEOUT_S = 30.0
"""Of a connection that neither takes nor gives anything."""
MAX_LIST_BYTES = 8 * 1024**2
"""1,000 URLs of about 2 kB with a role's token in each."""
MAX_ANSWER_BYTES = 64 * 1024
CHECKSUM = "x-amz-checksum-sha256"
_SENT = frozenset({"host", "content-length", CHECKSUM})
_CODE = re.compile(rb"<Code>([A-Za-z0-9]{1,64})</Code>")
_WRONG_BYTES = frozenset({"BadDigest", "InvalidDigest", "XAmzContentSHA256Mismatch", "IncompleteBody"})


@dataclass(frozen=True, slots=True)
class Target:
    """A URL taken apart; `signed` are the headers that its signature demands, in lower case."""

    secure: bool
    host: str
    port: int
    path: str
    signed: frozenset[str]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a request came to; `detail` never holds a URL, which is as good as a password."""

    verdict: Verdict
    detail: str = ""
    data: bytes = b""


def target_of(url: str) -> Target:
    """Take a URL apart. Raises Reject unless it is https, or http to this machine itself."""
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname or "", parts.port
        query = urllib.parse.parse_qs(parts.query)
    except ValueError as error:
        raise Reject(f"no URL: {error}") from error
    if any(ord(letter) <= 32 or ord(letter) > 126 for letter in url):
        raise Reject("a URL is printable ASCII without spaces")
    secure = parts.scheme == "https"
    if not host or not (secure or (parts.scheme == "http" and _is_loopback(host))):
        raise Reject("an https URL is needed")
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    signed = query.get("X-Amz-SignedHeaders", [""])[0].lower().split(";")
    return Target(secure, host, port or (443 if secure else 80), path, frozenset(filter(None, signed)))


class Wire:
    """One connection at a time, kept for the next part to the same host. Used by one thread at a time."""

    def __init__(self, *, timeout_s: float = TIMEOUT_S) -> None:
        self._timeout_s = timeout_s
        self._connection: http.client.HTTPConnection | None = None
        self._to: tuple[bool, str, int] | None = None
        self._tls: ssl.SSLContext | None = None
        self._buffer: memoryview | None = None

    def close(self) -> None:
        """Close the connection that is kept."""
        if self._connection is not None:
            self._connection.close()
        self._connection = self._to = None

    def put(
        self, url: str, file: BinaryIO, offset: int, size_bytes: int, sha256: str, cancel: Cancel
    ) -> Outcome:
        """Send a part of a file. Raises Reject where the file ends early, OSError where it cannot be read."""
        try:
            target = target_of(url)
            _check_signed(target)
        except Reject as error:
            return Outcome(Verdict.DENIED, str(error))
        sent_bytes = 0

        def send(connection: http.client.HTTPConnection) -> None:
            nonlocal sent_bytes
            sent_bytes = 0
            connection.putrequest("PUT", target.path, skip_accept_encoding=True)
            connection.putheader("Content-Length", str(size_bytes))
            connection.putheader(CHECKSUM, sha256)
            connection.endheaders()
            file.seek(offset)
            if self._buffer is None:
                self._buffer = memoryview(bytearray(CHUNK_BYTES))
            for piece in read_exactly(file, size_bytes, self._buffer):
                cancel.check()
                connection.send(piece)
                sent_bytes += len(piece)

        try:
            status, answer = self._exchange(target, send, MAX_ANSWER_BYTES, cancel)
        except (OSError, http.client.HTTPException) as error:
            whole = sent_bytes >= size_bytes
            verdict = Verdict.UNSURE if whole else Verdict.AGAIN
            return Outcome(verdict, f"{target.host}: {type(error).__name__} after {sent_bytes} B")
        return _judged(status, answer)

    def get(self, url: str, cancel: Cancel) -> Outcome:
        """Read a list."""
        try:
            target = target_of(url)
        except Reject as error:
            return Outcome(Verdict.DENIED, str(error))

        def send(connection: http.client.HTTPConnection) -> None:
            connection.request("GET", target.path)

        try:
            status, answer = self._exchange(target, send, MAX_LIST_BYTES + 1, cancel)
        except (OSError, http.client.HTTPException) as error:
            return Outcome(Verdict.AGAIN, f"{target.host}: {type(error).__name__}")
        if status == http.HTTPStatus.OK and len(answer) > MAX_LIST_BYTES:
            return Outcome(Verdict.DENIED, f"a list of more than {MAX_LIST_BYTES} B")
        return Outcome(Verdict.DONE, "", answer) if status == http.HTTPStatus.OK else _judged(status, answer)

    def _exchange(
        self,
        target: Target,
        send: Callable[[http.client.HTTPConnection], None],
        limit_bytes: int,
        cancel: Cancel,
    ) -> tuple[int, bytes]:
        """Status and body. An error leaves no connection behind."""
        try:
            connection = self._connected(target, cancel)
            try:
                send(connection)
            except ConnectionError:
                # S3 answers before it has everything and closes: the answer may be here all the same.
                answer = connection.getresponse()
                found = answer.status, answer.read(limit_bytes)
                self.close()
                return found
            answer = connection.getresponse()
            found = answer.status, answer.read(limit_bytes)
            if not answer.isclosed() or answer.will_close:
                self.close()
            return found
        except BaseException:
            self.close()
            raise
        finally:
            cancel.ends_with(None)

    def _connected(self, target: Target, cancel: Cancel) -> http.client.HTTPConnection:
        where = (target.secure, target.host, target.port)
        if self._connection is not None and (self._to != where or _is_stale(self._connection)):
            self.close()
        connection = self._connection
        if connection is None:
            connection = self._connection = self._new(target)
            self._to = where
            connection.connect()
        plain = connection.sock
        cancel.ends_with(lambda: plain.shutdown(socket.SHUT_RDWR))
        return connection

    def _new(self, target: Target) -> http.client.HTTPConnection:
        if not target.secure:
            return http.client.HTTPConnection(target.host, target.port, timeout=self._timeout_s)
        if self._tls is None:
            self._tls = ssl.create_default_context()
        proxy = _proxy(target.host)
        host, port = proxy or (target.host, target.port)
        connection = http.client.HTTPSConnection(host, port, timeout=self._timeout_s, context=self._tls)
        if proxy is not None:
            connection.set_tunnel(target.host, target.port)
        return connection


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _check_signed(target: Target) -> None:
    """A part's URL demands the part's checksum, and nothing that this gateway would not send."""
    if CHECKSUM not in target.signed:
        raise Reject(f"the URL of a part does not demand {CHECKSUM}")
    unknown = sorted(target.signed - _SENT)
    if unknown:
        raise Reject(f"the URL of a part demands headers that are not known here: {', '.join(unknown)[:200]}")


def _proxy(host: str) -> tuple[str, int] | None:
    """The proxy that the environment names for https (the nucleus sets it), unless it excepts the host."""
    found = urllib.request.getproxies().get("https")
    if not found or urllib.request.proxy_bypass(host):
        return None
    parts = urllib.parse.urlsplit(found if "//" in found else f"//{found}")
    return (parts.hostname, parts.port or 80) if parts.hostname else None


def _is_stale(connection: http.client.HTTPConnection) -> bool:
    """Whether the server has closed a kept connection, or said something nobody asked for."""
    sock = connection.sock
    if sock is None:
        return True
    try:
        sock.settimeout(0)
        sock.recv(1)
    except (BlockingIOError, ssl.SSLWantReadError):
        sock.settimeout(connection.timeout)
        return False
    except OSError:
        pass
    return True


def _judged(status: int, answer: bytes) -> Outcome:
    match = _CODE.search(answer)
    code = match[1].decode() if match else ""
    detail = f"S3 answered {status} {code}".rstrip()
    if 200 <= status < 300:
        return Outcome(Verdict.DONE, detail)
    if status in (429, 503) or code == "RequestTimeout":
        return Outcome(Verdict.AGAIN, detail)
    if status >= 500:
        return Outcome(Verdict.UNSURE, detail)
    if status == 404:
        return Outcome(Verdict.GONE, detail)
    if code in _WRONG_BYTES:
        return Outcome(Verdict.MISMATCH, detail)
    return Outcome(Verdict.DENIED, detail)
