"""The official client, second generation, with callbacks in order (`executor=None`)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from awsiot.greengrasscoreipc import model
from awsiot.greengrasscoreipc.clientv2 import GreengrassCoreIPCClientV2

from tests.contract.nucleus.adapters.api import CALL_TIMEOUT_S, Adapter
from tests.contract.nucleus.sdk_events import QueuedEvents, connected, translated


class V2Session:
    """See `Session`."""

    def __init__(self, socket: str, token: str) -> None:
        self._client = GreengrassCoreIPCClientV2(client=connected(socket, token), executor=None)

    def _call(self, name: str, **fields: Any) -> Any:
        with translated():
            return getattr(self._client, name + "_async")(**fields).result(CALL_TIMEOUT_S)

    def _open(self, name: str, **fields: Any) -> QueuedEvents:
        events = QueuedEvents()
        with translated():
            opened, operation = getattr(self._client, name + "_async")(
                on_stream_event=events.put, on_stream_error=lambda error: True, **fields
            )
            opened.result(CALL_TIMEOUT_S)
        events.end = lambda: operation.close().result(CALL_TIMEOUT_S)
        return events

    def publish(self, topic: str, payload: bytes) -> None:
        message = model.PublishMessage(binary_message=model.BinaryMessage(message=payload))
        self._call("publish_to_topic", topic=topic, publish_message=message)

    def publish_json(self, topic: str, message: Mapping[str, Any]) -> None:
        body = model.PublishMessage(json_message=model.JsonMessage(message=dict(message)))
        self._call("publish_to_topic", topic=topic, publish_message=body)

    def subscribe(self, topic: str, mode: str | None = None) -> QueuedEvents:
        return self._open("subscribe_to_topic", topic=topic, receive_mode=mode)

    def publish_cloud(self, topic: str, payload: bytes, qos: int = 1) -> None:
        self._call("publish_to_iot_core", topic_name=topic, qos=str(qos), payload=payload)

    def subscribe_cloud(self, topic: str) -> QueuedEvents:
        return self._open("subscribe_to_iot_core", topic_name=topic, qos="1")

    def get_configuration(self, path: Sequence[str], component: str | None = None) -> Any:
        return self._call("get_configuration", component_name=component, key_path=list(path)).value

    def update_configuration(self, path: Sequence[str], value: Mapping[str, Any], t_s: float) -> None:
        self._call(
            "update_configuration",
            key_path=list(path),
            timestamp=datetime.fromtimestamp(t_s, UTC),
            value_to_merge=dict(value),
        )

    def watch_configuration(self, path: Sequence[str]) -> QueuedEvents:
        return self._open("subscribe_to_configuration_update", key_path=list(path))

    def update_state(self, state: str) -> None:
        self._call("update_state", state=state)

    def validate_token(self, token: str) -> bool:
        return bool(self._call("validate_authorization_token", token=token).is_valid)

    def close(self) -> None:
        self._client.close()


ADAPTER = Adapter("awsiotsdk-v2", V2Session)
