"""The RPC layer over frames: connect, responses, events and errors as each nucleus words them."""

from __future__ import annotations

import json
from enum import IntEnum, IntFlag

from gateway_sim.nucleus.errors import IpcError
from gateway_sim.nucleus.frames import Frame, HeaderValue, encode
from gateway_sim.nucleus.jsonvalue import Json, Object
from gateway_sim.nucleus.profiles import Profile

NAMESPACE = "aws.greengrass#"
MESSAGE_TYPE, MESSAGE_FLAGS, STREAM_ID = ":message-type", ":message-flags", ":stream-id"


class MessageType(IntEnum):
    """`:message-type`."""

    APPLICATION_MESSAGE = 0
    APPLICATION_ERROR = 1
    PING = 2
    PING_RESPONSE = 3
    CONNECT = 4
    CONNECT_ACK = 5
    PROTOCOL_ERROR = 6
    INTERNAL_ERROR = 7


class Flag(IntFlag):
    """`:message-flags`."""

    NONE = 0
    CONNECTION_ACCEPTED = 1
    TERMINATE_STREAM = 2


def header_int(frame: Frame, name: str) -> int | None:
    """The integer header, or None where it is missing or of another type."""
    value = frame.headers.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def header_text(frame: Frame, name: str) -> str | None:
    """The string header, or None where it is missing or of another type."""
    value = frame.headers.get(name)
    return value if isinstance(value, str) else None


def _headers(kind: MessageType, flags: int, stream: int, model: str | None = None) -> dict[str, HeaderValue]:
    headers: dict[str, HeaderValue] = {MESSAGE_TYPE: int(kind), MESSAGE_FLAGS: int(flags), STREAM_ID: stream}
    if model is not None:
        headers |= {":content-type": "application/json", "service-model-type": NAMESPACE + model}
    return headers


def dumps(body: Json) -> bytes:
    """JSON as it goes on the wire."""
    return json.dumps(body, separators=(",", ":")).encode()


def connect_ack(*, accepted: bool) -> bytes:
    """The answer to connect."""
    flags = Flag.CONNECTION_ACCEPTED if accepted else Flag.NONE
    return encode(_headers(MessageType.CONNECT_ACK, flags, 0))


def ping_response(payload: bytes) -> bytes:
    """The answer to a ping, with its payload."""
    return encode(_headers(MessageType.PING_RESPONSE, 0, 0), payload)


def protocol_error(why: str) -> bytes:
    """What classic says before it closes a connection that broke the protocol."""
    return encode(_headers(MessageType.PROTOCOL_ERROR, 0, 0), dumps({"message": why}))


def response(profile: Profile, stream: int, operation: str, body: Object, *, streaming: bool) -> bytes:
    """The first message on a stream; classic also ends a unary call's stream with it."""
    flags = Flag.NONE if streaming or profile.lite else Flag.TERMINATE_STREAM
    return encode(
        _headers(MessageType.APPLICATION_MESSAGE, flags, stream, operation + "Response"), dumps(body)
    )


def event(stream: int, model: str, payload: bytes) -> bytes:
    """A message that follows the response on a subscription's stream."""
    return encode(_headers(MessageType.APPLICATION_MESSAGE, 0, stream, model), payload)


def error(profile: Profile, stream: int, problem: IpcError) -> bytes:
    """A modelled error in the profile's wording; it ends the stream."""
    body: Object = {"_message": problem.message, "_errorCode": problem.shape}
    if not profile.lite:
        body |= {"_service": "GreengrassCoreIPC", "message": problem.message}
    headers = _headers(MessageType.APPLICATION_ERROR, Flag.TERMINATE_STREAM, stream, problem.shape)
    return encode(headers, dumps(body))


def unknown_operation(stream: int) -> bytes:
    """Classic's answer to an operation outside the model: an error without a model type."""
    return encode(_headers(MessageType.APPLICATION_ERROR, Flag.TERMINATE_STREAM, stream))
