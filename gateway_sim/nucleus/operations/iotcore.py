"""PublishToIoTCore and SubscribeToIoTCore: messages between components and the cloud."""

from __future__ import annotations

import base64

from gateway_sim.nucleus import jsonvalue
from gateway_sim.nucleus.errors import CloseConnection, InvalidArgumentsError
from gateway_sim.nucleus.jsonvalue import Object
from gateway_sim.nucleus.messages import dumps
from gateway_sim.nucleus.policy import MQTT_PROXY
from gateway_sim.nucleus.services import Call, Operation
from gateway_sim.nucleus.topics import check_filter, check_topic

MAX_PAYLOAD_BYTES = 128 * 1024  # AWS IoT Core


def _qos(body: Object) -> int:
    value = body.get("qos")
    if value not in ("0", "1"):
        raise InvalidArgumentsError('qos must be the string "0" or "1"')
    return int(value)


async def publish(call: Call) -> Object:
    """Hand one message to the MQTT connection; success is not delivery."""
    topic = jsonvalue.text(call.body, "topicName")
    payload = jsonvalue.blob(call.body, "payload")
    limit = call.services.profile.max_cloud_payload_bytes
    if limit is not None and len(payload) > limit:
        raise CloseConnection(f"PublishToIoTCore with {len(payload)} B; the limit is {limit} B")
    qos = _qos(call.body)
    check_topic(topic, cloud=True)
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise InvalidArgumentsError(f"payload of {len(payload)} B; AWS IoT Core takes {MAX_PAYLOAD_BYTES} B")
    call.authorize(MQTT_PROXY, topic)
    call.services.cloud.publish(topic, payload, qos, retain=call.body.get("retain") is True)
    return {}


async def subscribe(call: Call) -> Object:
    """Hear what the cloud publishes on a topic or filter."""
    pattern = jsonvalue.text(call.body, "topicName")
    qos = _qos(call.body)
    check_filter(pattern, cloud=True)
    call.authorize(MQTT_PROXY, pattern)

    def deliver(topic: str, payload: bytes) -> None:
        message: Object = {"topicName": topic, "payload": base64.b64encode(payload).decode()}
        call.sink.emit(dumps({"message": message}))

    call.sink.on_close(await call.services.cloud.subscribe(pattern, qos, deliver))
    return {}


OPERATIONS = {
    "PublishToIoTCore": Operation(publish),
    "SubscribeToIoTCore": Operation(subscribe, event="IoTCoreMessage", waits=True),
}
