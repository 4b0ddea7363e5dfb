"""PublishToTopic and SubscribeToTopic: messages between components of this gateway."""

from __future__ import annotations

import base64

from gateway_sim.nucleus import jsonvalue
from gateway_sim.nucleus.errors import CloseConnection, InvalidArgumentsError
from gateway_sim.nucleus.jsonvalue import Object
from gateway_sim.nucleus.messages import dumps
from gateway_sim.nucleus.policy import PUBSUB
from gateway_sim.nucleus.services import Call, Operation
from gateway_sim.nucleus.topics import check_filter, check_topic


async def publish(call: Call) -> Object:
    """Hand one JSON or binary message to whoever subscribes."""
    topic = jsonvalue.text(call.body, "topic")
    message = jsonvalue.obj(call.body, "publishMessage")
    event = _event(call, topic, message)
    check_topic(topic, cloud=False)
    call.authorize(PUBSUB, topic)
    call.services.tap.record(call.component, topic, event)
    call.services.router.publish(call.component, topic, dumps(event))
    return {}


def _event(call: Call, topic: str, message: Object) -> Object:
    kinds = [kind for kind in ("jsonMessage", "binaryMessage") if message.get(kind) is not None]
    if len(kinds) != 1:
        raise InvalidArgumentsError("publishMessage must hold one of jsonMessage and binaryMessage")
    inner = jsonvalue.obj(message, kinds[0])
    context: Object = {"topic": topic}
    if kinds[0] == "jsonMessage":
        body = jsonvalue.obj(inner, "message")
        return {
            "jsonMessage": {
                "message": body if call.services.profile.lite else jsonvalue.gson(body),
                "context": context,
            }
        }
    payload = jsonvalue.blob(inner, "message")
    limit = call.services.profile.max_topic_payload_bytes
    if limit is not None and len(payload) > limit:
        raise CloseConnection(f"PublishToTopic with {len(payload)} B; the limit is {limit} B")
    return {"binaryMessage": {"message": base64.b64encode(payload).decode(), "context": context}}


async def subscribe(call: Call) -> Object:
    """Hear what is published on a topic or filter."""
    pattern = jsonvalue.text(call.body, "topic")
    check_filter(pattern, cloud=False)
    call.authorize(PUBSUB, pattern)
    mode = jsonvalue.optional_text(call.body, "receiveMode")
    call.sink.on_close(call.services.router.subscribe(call.component, pattern, mode, call.sink.emit))
    return {}


OPERATIONS = {
    "PublishToTopic": Operation(publish),
    "SubscribeToTopic": Operation(subscribe, event="SubscriptionResponseMessage"),
}
