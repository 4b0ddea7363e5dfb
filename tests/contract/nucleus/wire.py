"""Bare frames to a nucleus, for what no client shows: flags, bodies, stream ids; decoded by botocore."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

from botocore.eventstream import EventStreamBuffer

from tests.contract.nucleus.adapters.api import Refused

MESSAGE, ERROR, PING, PING_RESPONSE, CONNECT, CONNECT_ACK, PROTOCOL_ERROR = range(7)
ACCEPTED, TERMINATE = 1, 2
TIMEOUT_S = 15.0


class Ended(Exception):
    """The nucleus has closed the connection."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message from the nucleus."""

    headers: Mapping[str, Any]
    payload: bytes

    @property
    def kind(self) -> int:
        return int(self.headers[":message-type"])

    @property
    def flags(self) -> int:
        return int(self.headers[":message-flags"])

    @property
    def stream(self) -> int:
        return int(self.headers[":stream-id"])

    @property
    def model(self) -> str | None:
        value = self.headers.get("service-model-type")
        return None if value is None else str(value)

    @property
    def body(self) -> Any:
        return json.loads(self.payload)


def frame(headers: Mapping[str, int | str], payload: bytes = b"") -> bytes:
    """One event-stream message."""
    head = b""
    for name, value in headers.items():
        head += bytes((len(name),)) + name.encode()
        if isinstance(value, int):
            head += b"\4" + struct.pack(">i", value)
        else:
            head += b"\7" + struct.pack(">H", len(value)) + value.encode()
    prelude = struct.pack(">II", 16 + len(head) + len(payload), len(head))
    body = prelude + struct.pack(">I", zlib.crc32(prelude)) + head + payload
    return body + struct.pack(">I", zlib.crc32(body))


class Wire:
    """A connection without a client."""

    def __init__(self, path: str) -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        self._socket.settimeout(TIMEOUT_S)
        self._socket.connect(path)
        self._buffer = EventStreamBuffer()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        """Bytes as they are; raise Ended where nobody takes them."""
        try:
            self._socket.sendall(data)
        except OSError as error:
            raise Ended from error

    def message(self, kind: int, stream: int, payload: bytes = b"", flags: int = 0, **extra: str) -> None:
        """A message; extra headers by name, `_` for `-`, `__` for a leading colon."""
        headers: dict[str, int | str] = {":message-type": kind, ":message-flags": flags, ":stream-id": stream}
        named = {
            (":" + name[2:] if name.startswith("__") else name).replace("_", "-"): v
            for name, v in extra.items()
        }
        self.send(frame(headers | named, payload))

    def connect(self, token: str) -> None:
        """Send connect."""
        self.message(CONNECT, 0, json.dumps({"authToken": token}).encode(), __version="0.1.0")

    def call(self, stream: int, operation: str, body: Any) -> None:
        """Send a request."""
        self.message(
            MESSAGE,
            stream,
            json.dumps(body).encode(),
            __content_type="application/json",
            service_model_type=f"aws.greengrass#{operation}Request",
            operation=f"aws.greengrass#{operation}",
        )

    def asked(self, stream: int, operation: str, body: Any) -> Message:
        """Send a request and return its answer; raise Refused for an error."""
        self.call(stream, operation, body)
        answer = self.receive()
        if answer.kind == ERROR:
            raise Refused(str(answer.model).partition("#")[2], answer.body.get("_message"))
        return answer

    def receive(self) -> Message:
        """The next message; raise Ended at the end."""
        while True:
            for event in self._buffer:
                return Message(event.headers, event.payload)
            try:
                data = self._socket.recv(65536)
            except ConnectionError as error:
                raise Ended from error
            if not data:
                raise Ended
            self._buffer.add_data(data)

    def finish(self) -> None:
        """Say no more, and read what there is until the nucleus closes too."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)
            while self._socket.recv(65536):
                pass

    def ends_with_protocol_errors_at_most(self) -> bool:
        """Whether the connection ends now, with nothing said but protocol errors."""
        try:
            while self.receive().kind == PROTOCOL_ERROR:
                pass
        except Ended:
            return True
        return False

    def ended(self) -> bool:
        """Whether the connection ends now, with nothing more said."""
        try:
            self.receive()
        except Ended:
            return True
        return False
