"""The RPC layer's messages on event-stream frames: what a client sends, what it understands. Pure."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import IntEnum
from functools import lru_cache

from headgate.ipc.frames import Frame, FrameError, encode, i32_header, string_header

NAMESPACE = "aws.greengrass#"
MAX_STREAM_ID = 2**31 - 1


class MessageType(IntEnum):
    """Header `:message-type`."""

    APPLICATION_MESSAGE = 0
    APPLICATION_ERROR = 1
    PING = 2
    PING_RESPONSE = 3
    CONNECT = 4
    CONNECT_ACK = 5
    PROTOCOL_ERROR = 6
    INTERNAL_ERROR = 7


ACCEPTED = 1
TERMINATE = 2
"""Bits of header `:message-flags`."""


@dataclass(frozen=True, slots=True)
class Message:
    """One message from the nucleus; `model_type` is without the namespace, empty where there was none."""

    type: MessageType
    flags: int
    stream_id: int
    model_type: str
    payload: bytes

    @property
    def terminates(self) -> bool:
        """Whether the nucleus ends the stream with it."""
        return bool(self.flags & TERMINATE)


def connect(token: str) -> bytes:
    """The first message of a connection."""
    headers = string_header(":version", "0.1.0") + _rpc_headers(MessageType.CONNECT, 0, 0)
    return encode(headers, json.dumps({"authToken": token}).encode())


def request(operation: str, stream_id: int, body: bytes) -> bytes:
    """Call `operation` (without the namespace) on a new stream with a JSON body."""
    headers = _operation_headers(operation) + _rpc_headers(MessageType.APPLICATION_MESSAGE, 0, stream_id)
    return encode(headers, body)


def close_stream(stream_id: int) -> bytes:
    """End a stream from this side."""
    return encode(_rpc_headers(MessageType.APPLICATION_MESSAGE, TERMINATE, stream_id), b"")


def ping_response(payload: bytes) -> bytes:
    """Answer a ping."""
    return encode(_rpc_headers(MessageType.PING_RESPONSE, 0, 0), payload)


def parse(frame: Frame) -> Message:
    """Read a frame as a message. Raises FrameError when a header that every message has is missing or
    wrong.
    """
    headers = frame.headers
    kind, flags, stream_id = (headers.get(n) for n in (":message-type", ":message-flags", ":stream-id"))
    if type(kind) is not int or type(flags) is not int or type(stream_id) is not int:
        raise FrameError(f"message without type, flags or stream: {sorted(headers)}")
    if not 0 <= kind <= MessageType.INTERNAL_ERROR or stream_id < 0:
        raise FrameError(f"message of unknown type {kind} on stream {stream_id}")
    model_type = headers.get("service-model-type", "")
    if not isinstance(model_type, str):
        raise FrameError("message whose service-model-type is no string")
    return Message(MessageType(kind), flags, stream_id, model_type.removeprefix(NAMESPACE), frame.payload)


@lru_cache(maxsize=64)
def _operation_headers(operation: str) -> bytes:
    return (
        string_header(":content-type", "application/json")
        + string_header("service-model-type", f"{NAMESPACE}{operation}Request")
        + string_header("operation", f"{NAMESPACE}{operation}")
    )


def _rpc_headers(kind: MessageType, flags: int, stream_id: int) -> bytes:
    return (
        i32_header(":message-type", kind)
        + i32_header(":message-flags", flags)
        + i32_header(":stream-id", stream_id)
    )
