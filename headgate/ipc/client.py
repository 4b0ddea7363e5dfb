"""The operations of Greengrass IPC, typed: what a component of this gateway asks of its nucleus."""

from __future__ import annotations

import json
import logging
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol

from headgate.errors import Reject, Retry
from headgate.inbox import Inbox, Overflow
from headgate.ipc.errors import InvalidToken, describe
from headgate.ipc.limits import LITE, Limits

log = logging.getLogger(__name__)

QoS = Literal[0, 1]


class Caller(Protocol):
    """What carries the operations: a `session.Session`."""

    async def call(self, operation: str, target: str, body: bytes) -> bytes: ...

    def subscribe(
        self,
        operation: str,
        target: str,
        body: bytes,
        on_event: Callable[[bytes], None],
        on_live: Callable[[], None] = ...,
    ) -> AbstractContextManager[None]: ...


@dataclass(frozen=True, slots=True)
class TopicMessage:
    """A local message; one published as JSON has its JSON text (compact, UTF-8) as payload and `is_json`."""

    topic: str
    payload: bytes
    is_json: bool = False


@dataclass(frozen=True, slots=True)
class CloudMessage:
    """A message from AWS IoT Core."""

    topic: str
    payload: bytes


@dataclass(frozen=True, slots=True)
class Configuration:
    """A component's configuration from a key path down; of a leaf it is `{leaf: value}`."""

    component: str
    value: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ConfigurationChange:
    """What changed: only the place, the new value must be read."""

    component: str
    key_path: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Restart:
    """Whether a restart was set off, and why not."""

    ok: bool
    message: str


class Client:
    """The typed operations. Each raises Retry or Reject (see `errors`), naming operation and target.

    `malformed_events` counts events that could not be read (logged, skipped).
    """

    def __init__(self, caller: Caller, limits: Limits = LITE) -> None:
        self.limits = limits
        self.malformed_events = 0
        self._caller = caller

    async def publish_to_topic(self, topic: str, payload: bytes) -> None:
        """PublishToTopic, as a binary message. Raises Reject when larger than `limits.local_bytes`."""
        _check_size("PublishToTopic", topic, len(payload), self.limits.local_bytes)
        message = {"binaryMessage": {"message": b64encode(payload).decode()}}
        await self._call("PublishToTopic", topic, {"topic": topic, "publishMessage": message})

    async def publish_json_to_topic(self, topic: str, value: Mapping[str, Any]) -> None:
        """PublishToTopic, as a JSON message, for components that want one; lite holds only small ones.

        Raises Reject when its text is larger than a binary message of `limits.local_bytes` in base64.
        """
        limit_bytes = (self.limits.local_bytes + 2) // 3 * 4
        _check_size("PublishToTopic", topic, len(_dump(value)), limit_bytes)
        body = {"topic": topic, "publishMessage": {"jsonMessage": {"message": dict(value)}}}
        await self._call("PublishToTopic", topic, body)

    def subscribe_to_topic(
        self, pattern: str, sink: Callable[[TopicMessage], None], *, own_messages: bool | None = True
    ) -> AbstractContextManager[None]:
        """SubscribeToTopic: `sink` gets each message in order, within the event loop, and must not block.

        Without `own_messages` classic leaves out this component's own; with None it does so for patterns with
        wildcards only. Lite always sends them.
        """
        body = {"topic": pattern}
        if own_messages is not None:
            body["receiveMode"] = "RECEIVE_ALL_MESSAGES" if own_messages else "RECEIVE_MESSAGES_FROM_OTHERS"

        def read(event: Mapping[str, Any]) -> None:
            sink(_topic_message(event, pattern))

        return self._subscribe("SubscribeToTopic", pattern, body, read)

    @contextmanager
    def topic_messages(
        self,
        pattern: str,
        *,
        limit: int = 256,
        limit_bytes: int = 4 * 1024 * 1024,
        overflow: Overflow = Overflow.DROP_OLDEST,
    ) -> Iterator[Inbox[TopicMessage]]:
        """SubscribeToTopic for `async for`: the messages in order, in a bounded inbox that counts what it
        drops.
        """
        inbox: Inbox[TopicMessage] = Inbox(limit, limit_bytes, overflow)

        def sink(message: TopicMessage) -> None:
            inbox.put(message, len(message.payload))

        with self.subscribe_to_topic(pattern, sink):
            try:
                yield inbox
            finally:
                inbox.close()

    async def publish_to_iot_core(self, topic: str, payload: bytes, *, qos: QoS = 1) -> None:
        """PublishToIoTCore. Success says that the nucleus took it, not that it arrived.

        Raises Reject when larger than `limits.cloud_bytes`.
        """
        _check_size("PublishToIoTCore", topic, len(payload), self.limits.cloud_bytes)
        body = {"topicName": topic, "qos": str(qos), "payload": b64encode(payload).decode()}
        await self._call("PublishToIoTCore", topic, body)

    def subscribe_to_iot_core(
        self, pattern: str, sink: Callable[[CloudMessage], None], *, qos: QoS = 1
    ) -> AbstractContextManager[None]:
        """SubscribeToIoTCore: `sink` gets each message in order, in the event loop, and must not block."""

        def read(event: Mapping[str, Any]) -> None:
            message = event["message"]
            sink(CloudMessage(message["topicName"], b64decode(message.get("payload") or "")))

        return self._subscribe("SubscribeToIoTCore", pattern, {"topicName": pattern, "qos": str(qos)}, read)

    async def get_configuration(
        self, key_path: Sequence[str] = (), *, component: str | None = None
    ) -> Configuration:
        """GetConfiguration of this or another component. Raises NotFound where there is no such key."""
        target = "/".join(key_path)
        answer = await self._call("GetConfiguration", target, _config_body(key_path, component))
        value = answer.get("value")
        if not isinstance(value, dict):
            value = {key_path[-1]: value} if key_path else {}
        return Configuration(str(answer.get("componentName") or component or ""), value)

    async def update_configuration(
        self, key_path: Sequence[str], value: Mapping[str, Any], *, utc_s: float
    ) -> None:
        """UpdateConfiguration of this component: merge `value` at `key_path`, as of `utc_s` (Unix seconds).

        Raises StaleUpdate when a value there is newer (classic; lite ignores the update silently) and Reject
        for `accessControl`, which no component may change.
        """
        body = {"keyPath": list(key_path), "timestamp": utc_s, "valueToMerge": dict(value)}
        await self._call("UpdateConfiguration", "/".join(key_path), body)

    def subscribe_to_configuration_update(
        self,
        sink: Callable[[ConfigurationChange], None],
        key_path: Sequence[str] = (),
        *,
        component: str | None = None,
        on_live: Callable[[], None] = lambda: None,
    ) -> AbstractContextManager[None]:
        """SubscribeToConfigurationUpdate. Changes while the nucleus was away bring no event: `on_live` is
        called each time the subscription is in force (again), to read the configuration then.
        """

        def read(event: Mapping[str, Any]) -> None:
            change = event["configurationUpdateEvent"]
            path = tuple(map(str, change.get("keyPath") or ()))
            sink(ConfigurationChange(str(change.get("componentName") or ""), path))

        body = _config_body(key_path, component)
        return self._subscribe("SubscribeToConfigurationUpdate", "/".join(key_path), body, read, on_live)

    async def update_state(self, state: Literal["RUNNING", "ERRORED"]) -> None:
        """UpdateState of this component."""
        await self._call("UpdateState", state, {"state": state})

    async def validate_authorization_token(self, token: str) -> bool:
        """ValidateAuthorizationToken: whether a component of this nucleus has `token` (never logged)."""
        try:
            answer = await self._call("ValidateAuthorizationToken", "", {"token": token})
        except InvalidToken:
            return False
        return answer.get("isValid") in (True, "true")

    async def create_local_deployment(
        self,
        *,
        add: Mapping[str, str] = {},
        remove: Sequence[str] = (),
        configuration: Mapping[str, Mapping[str, Any]] = {},
        recipes: str | None = None,
        artifacts: str | None = None,
        group: str | None = None,
    ) -> str:
        """CreateLocalDeployment: returns the deployment's id; it goes on in the background.

        `add` maps components to versions, `configuration` maps them to `{"MERGE": ..., "RESET": [...]}`,
        `recipes` and `artifacts` are directories on this gateway.
        """
        body: dict[str, Any] = {
            "rootComponentVersionsToAdd": dict(add),
            "rootComponentsToRemove": list(remove),
            "componentToConfiguration": {name: dict(value) for name, value in configuration.items()},
            "recipeDirectoryPath": recipes,
            "artifactsDirectoryPath": artifacts,
            "groupName": group,
        }
        answer = await self._call(
            "CreateLocalDeployment", ", ".join([*add, *remove]), {k: v for k, v in body.items() if v}
        )
        return str(answer.get("deploymentId") or "")

    async def restart_component(self, component: str) -> Restart:
        """RestartComponent."""
        answer = await self._call("RestartComponent", component, {"componentName": component})
        return Restart(answer.get("restartStatus") == "SUCCEEDED", str(answer.get("message") or ""))

    async def _call(self, operation: str, target: str, body: Mapping[str, Any]) -> Mapping[str, Any]:
        payload = await self._caller.call(operation, target, _dump(body))
        try:
            answer = _load(payload or b"{}")
        except (ValueError, RecursionError) as error:
            raise Retry(f"{describe(operation, target)}: the nucleus's answer is no JSON: {error}") from None
        return answer

    def _subscribe(
        self,
        operation: str,
        target: str,
        body: Mapping[str, Any],
        read: Callable[[Mapping[str, Any]], None],
        on_live: Callable[[], None] = lambda: None,
    ) -> AbstractContextManager[None]:
        def on_event(payload: bytes) -> None:
            try:
                read(_load(payload))
            except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
                self.malformed_events += 1
                log.warning(
                    "%s: unreadable event of %d B: %r", describe(operation, target), len(payload), error
                )

        return self._caller.subscribe(operation, target, _dump(body), on_event, on_live)


def _topic_message(event: Mapping[str, Any], pattern: str) -> TopicMessage:
    binary = event.get("binaryMessage")
    if binary is not None:
        topic = (binary.get("context") or {}).get("topic") or pattern
        return TopicMessage(topic, b64decode(binary.get("message") or ""))
    message = event["jsonMessage"]
    topic = (message.get("context") or {}).get("topic") or pattern
    return TopicMessage(topic, _dump(message.get("message")), is_json=True)


def _config_body(key_path: Sequence[str], component: str | None) -> dict[str, Any]:
    body: dict[str, Any] = {"keyPath": list(key_path)}
    return body if component is None else body | {"componentName": component}


def _check_size(operation: str, topic: str, size_bytes: int, limit_bytes: int) -> None:
    if size_bytes > limit_bytes:
        raise Reject(f"{operation} to {topic!r}: {size_bytes} B is too large, the limit is {limit_bytes} B")


def _dump(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def _load(payload: bytes) -> Mapping[str, Any]:
    value = json.loads(payload)
    if not isinstance(value, dict):
        raise ValueError(f"not an object but {type(value).__name__}")  # noqa: TRY004 - handled as unreadable
    return value
