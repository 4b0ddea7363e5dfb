"""The official client, first generation: operations made, activated and closed one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from awsiot.greengrasscoreipc import client as sdk
from awsiot.greengrasscoreipc import model

from tests.contract.nucleus.adapters.api import CALL_TIMEOUT_S, Adapter
from tests.contract.nucleus.sdk_events import QueuedEvents, connected, translated


class V1Session:
    """See `Session`."""

    def __init__(self, socket: str, token: str) -> None:
        self._client = connected(socket, token)

    def _call(self, operation: Any, request: Any) -> Any:
        with translated():
            try:
                operation.activate(request).result(CALL_TIMEOUT_S)
                return operation.get_response().result(CALL_TIMEOUT_S)
            finally:
                operation.close()

    def _open(self, kind: Any, make: str, request: Any) -> QueuedEvents:
        events = QueuedEvents()

        class Handler(kind):  # type: ignore[misc] # the base is one of the model's, known at run time only
            def on_stream_event(self, event: Any) -> None:
                events.put(event)

            def on_stream_error(self, error: Exception) -> bool:
                return True

            def on_stream_closed(self) -> None:
                pass

        with translated():
            operation = getattr(self._client, make)(Handler())
            operation.activate(request).result(CALL_TIMEOUT_S)
            operation.get_response().result(CALL_TIMEOUT_S)
        events.end = lambda: operation.close().result(CALL_TIMEOUT_S)
        return events

    def _publish(self, topic: str, message: model.PublishMessage) -> None:
        request = model.PublishToTopicRequest(topic=topic, publish_message=message)
        with translated():
            operation = self._client.new_publish_to_topic()
        self._call(operation, request)

    def publish(self, topic: str, payload: bytes) -> None:
        self._publish(topic, model.PublishMessage(binary_message=model.BinaryMessage(message=payload)))

    def publish_json(self, topic: str, message: Mapping[str, Any]) -> None:
        self._publish(topic, model.PublishMessage(json_message=model.JsonMessage(message=dict(message))))

    def subscribe(self, topic: str, mode: str | None = None) -> QueuedEvents:
        request = model.SubscribeToTopicRequest(topic=topic, receive_mode=mode)
        return self._open(sdk.SubscribeToTopicStreamHandler, "new_subscribe_to_topic", request)

    def publish_cloud(self, topic: str, payload: bytes, qos: int = 1) -> None:
        request = model.PublishToIoTCoreRequest(topic_name=topic, qos=str(qos), payload=payload)
        with translated():
            operation = self._client.new_publish_to_iot_core()
        self._call(operation, request)

    def subscribe_cloud(self, topic: str) -> QueuedEvents:
        request = model.SubscribeToIoTCoreRequest(topic_name=topic, qos="1")
        return self._open(sdk.SubscribeToIoTCoreStreamHandler, "new_subscribe_to_iot_core", request)

    def get_configuration(self, path: Sequence[str], component: str | None = None) -> Any:
        request = model.GetConfigurationRequest(component_name=component, key_path=list(path))
        return self._call(self._client.new_get_configuration(), request).value

    def update_configuration(self, path: Sequence[str], value: Mapping[str, Any], t_s: float) -> None:
        time = datetime.fromtimestamp(t_s, UTC)
        request = model.UpdateConfigurationRequest(
            key_path=list(path), timestamp=time, value_to_merge=dict(value)
        )
        self._call(self._client.new_update_configuration(), request)

    def watch_configuration(self, path: Sequence[str]) -> QueuedEvents:
        request = model.SubscribeToConfigurationUpdateRequest(key_path=list(path))
        kind = sdk.SubscribeToConfigurationUpdateStreamHandler
        return self._open(kind, "new_subscribe_to_configuration_update", request)

    def update_state(self, state: str) -> None:
        self._call(self._client.new_update_state(), model.UpdateStateRequest(state=state))

    def validate_token(self, token: str) -> bool:
        request = model.ValidateAuthorizationTokenRequest(token=token)
        return bool(self._call(self._client.new_validate_authorization_token(), request).is_valid)

    def close(self) -> None:
        self._client.close().exception(CALL_TIMEOUT_S)  # the nucleus may have closed it first


ADAPTER = Adapter("awsiotsdk-v1", V1Session)
