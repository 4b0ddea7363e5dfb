"""What the nucleus's errors ask of the caller: retry, reject or stop, naming operation and target."""

from __future__ import annotations

import json

from headgate.errors import Fatal, Reject, Retry
from headgate.ipc.messages import NAMESPACE


class NucleusRetry(Retry):
    """A modelled error that may pass; `shape` is its name, `body` its JSON as it came."""

    def __init__(self, message: str, shape: str, body: bytes) -> None:
        super().__init__(message)
        self.shape = shape
        self.body = body


class NucleusReject(Reject):
    """A modelled error that will not pass; `shape` and `body` as in `NucleusRetry`."""

    def __init__(self, message: str, shape: str, body: bytes) -> None:
        super().__init__(message)
        self.shape = shape
        self.body = body


class Unauthorized(NucleusReject):
    """The component's accessControl does not allow the operation on this target."""


class NotFound(NucleusReject):
    """The configuration key, component or other thing does not exist."""


class StaleUpdate(NucleusReject):
    """The configuration holds a newer value than the update's timestamp (only classic says so)."""


class InvalidToken(NucleusReject):
    """ValidateAuthorizationToken: no component of this nucleus has the token."""


class TokenRefused(Fatal):
    """The nucleus does not know this process: it is an orphan of a former nucleus, or was never its
    component.
    """


class HandshakeUnanswered(Retry):
    """The nucleus closed the connection instead of acknowledging it: lite's way to refuse a token."""


_SERVICES = {
    "PublishToTopic": "aws.greengrass.ipc.pubsub",
    "SubscribeToTopic": "aws.greengrass.ipc.pubsub",
    "PublishToIoTCore": "aws.greengrass.ipc.mqttproxy",
    "SubscribeToIoTCore": "aws.greengrass.ipc.mqttproxy",
    "CreateLocalDeployment": "aws.greengrass.Cli",
    "RestartComponent": "aws.greengrass.Cli",
}
"""The service whose policies in accessControl allow an operation; the others need none."""

_RETRY = {"ServiceError", "ConflictError"}
_REJECT: dict[str, tuple[type[NucleusReject], str]] = {
    "ResourceNotFoundError": (NotFound, "not found"),
    "ComponentNotFoundError": (NotFound, "no such component"),
    "FailedUpdateConditionCheckError": (StaleUpdate, "the configuration is newer than this update"),
    "InvalidTokenError": (InvalidToken, "the token is not valid"),
}


def describe(operation: str, target: str) -> str:
    """How errors name a call."""
    return f"{operation} {target!r}" if target else operation


def from_error(operation: str, target: str, model_type: str, payload: bytes) -> Retry | Reject:
    """The exception for an error message. Classic's body has `message`, both have `_message`."""
    call = describe(operation, target)
    text = _message(payload)
    if not model_type:
        return unknown_operation(operation, target)
    if model_type == "UnauthorizedError":
        lacks = f"accessControl of this component lacks operation {NAMESPACE}{operation} on this resource"
        if service := _SERVICES.get(operation):
            lacks += f" under {service}"
        return Unauthorized(
            f"{call} is not allowed (UnauthorizedError): {lacks}{_said(text)}", model_type, payload
        )
    if model_type in _RETRY:
        return NucleusRetry(f"{call} failed for now with {model_type}{_said(text)}", model_type, payload)
    kind, what = _REJECT.get(model_type, (NucleusReject, f"failed with {model_type}"))
    return kind(f"{call}: {what}{_said(text)}", model_type, payload)


def unknown_operation(operation: str, target: str) -> Reject:
    """The exception for a stream that ends without an answer: classic's reply to what it does not know."""
    return Reject(f"{describe(operation, target)}: this nucleus does not know the operation")


def _message(payload: bytes) -> str:
    try:
        body = json.loads(payload)
    except (ValueError, RecursionError):
        return payload[:200].decode(errors="replace")
    if not isinstance(body, dict):
        return ""
    text = body.get("message") or body.get("_message") or ""
    return text if isinstance(text, str) else ""


def _said(text: str) -> str:
    return f" (nucleus: {text})" if text else ""
