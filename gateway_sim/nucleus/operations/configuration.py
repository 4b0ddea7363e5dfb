"""Operations on configuration: get, update, be told of changes, and (classic) judge a proposed one."""

from __future__ import annotations

from gateway_sim.nucleus import jsonvalue
from gateway_sim.nucleus.config_store import now_ms
from gateway_sim.nucleus.config_tree import Path
from gateway_sim.nucleus.errors import InvalidArgumentsError, ServiceError
from gateway_sim.nucleus.jsonvalue import Object
from gateway_sim.nucleus.messages import dumps
from gateway_sim.nucleus.services import Call, Operation

_ACCESS_CONTROL = "accesscontrol"


async def get(call: Call) -> Object:
    """The value at a key path of any component; a leaf comes as `{leaf: value}`. Needs no policy."""
    component = jsonvalue.optional_text(call.body, "componentName") or call.component
    path = jsonvalue.path(call.body, "keyPath")
    value = call.services.config.value(component, path)
    if not isinstance(value, dict):
        value = {path[-1]: value}
    limits = call.services.profile.config_limits
    if limits is not None and len(dumps(value)) > limits.read_bytes:
        raise ServiceError(f"configuration of {len(dumps(value))} B; one read gives {limits.read_bytes} B")
    return {"componentName": component, "value": value}


async def update(call: Call) -> Object:
    """Merge an object into the caller's own configuration, unless what is there is newer."""
    path = jsonvalue.path(call.body, "keyPath")
    value = jsonvalue.obj(call.body, "valueToMerge")
    t_ms = int(jsonvalue.number(call.body, "timestamp") * 1000) if "timestamp" in call.body else now_ms()
    first = {path[0]} if path else set(value)
    if any(key.lower() == _ACCESS_CONTROL for key in first):
        raise InvalidArgumentsError("accessControl cannot be changed by a component")
    lite = call.services.profile.lite
    tree = call.services.config.tree(call.component)
    kept = value if lite else {key: jsonvalue.gson(item) for key, item in value.items()}
    call.services.config.replace({call.component: tree.merged(path, kept, t_ms, refuse_stale=not lite)})
    return {}


async def watch(call: Call) -> Object:
    """Be told which key changed, in one's own or another component's configuration."""
    component = jsonvalue.optional_text(call.body, "componentName") or call.component
    path = jsonvalue.path(call.body, "keyPath")
    call.services.config.value(component, path)

    def changed(name: str, key: Path) -> None:
        call.sink.emit(dumps({"configurationUpdateEvent": {"componentName": name, "keyPath": list(key)}}))

    call.sink.on_close(call.services.config.watch(call.component, component, path, changed))
    return {}


async def accept(call: Call) -> Object:
    """Accepted; this nucleus proposes no configuration for validation before it deploys."""
    return {}


OPERATIONS = {
    "GetConfiguration": Operation(get),
    "UpdateConfiguration": Operation(update),
    "SubscribeToConfigurationUpdate": Operation(watch, event="ConfigurationUpdateEvents"),
    "SubscribeToValidateConfigurationUpdates": Operation(
        accept, event="ValidateConfigurationUpdateEvents", lite=False
    ),
    "SendConfigurationValidityReport": Operation(accept, lite=False),
}
