"""Whether a component's accessControl allows an operation on a resource."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

from gateway_sim.nucleus.errors import UnauthorizedError
from gateway_sim.nucleus.jsonvalue import Json, Object
from gateway_sim.nucleus.profiles import Profile

PUBSUB = "aws.greengrass.ipc.pubsub"
MQTT_PROXY = "aws.greengrass.ipc.mqttproxy"
LIFECYCLE = "aws.greengrass.ipc.lifecycle"
CLI = "aws.greengrass.Cli"

# Escapes in a policy resource that stand for the character itself.
_TOKEN = re.compile(r"\$\{([*?$])\}|(\*)|([^*$]+|\$)", re.DOTALL)


@lru_cache(maxsize=1024)
def _compiled(resource: str, mqtt: bool, parent_too: bool) -> re.Pattern[str]:
    levels = resource.split("/")
    parts: list[str] = []
    tail = ""
    for position, level in enumerate(levels):
        if mqtt and level == "#" and position == len(levels) - 1:
            tail = "(?:/.*)?" if parent_too and parts else "/.*" if parts else ".*"
        elif mqtt and level == "+":
            parts.append("(?!#)[^/]*")
        else:
            parts.append(_literal(level))
    return re.compile("/".join(parts) + tail, re.DOTALL)


def _literal(level: str) -> str:
    return "".join(
        re.escape(escaped) if escaped else ".*" if star else re.escape(plain)
        for escaped, star, plain in _TOKEN.findall(level)
    )


def resource_matches(profile: Profile, service: str, allowed: str, resource: str) -> bool:
    """Whether the policy's `allowed` covers `resource` (a topic, a filter or a component's name).

    `*` is any run of characters, slashes included; `+` and `#` are wildcards for mqttproxy only and
    only as whole levels; classic's `abc/#` also covers `abc`.
    """
    pattern = _compiled(allowed, service == MQTT_PROXY, not profile.lite)
    return pattern.fullmatch(resource) is not None


def allows(
    profile: Profile, access_control: Json, service: str, operation: str, resource: str | None
) -> bool:
    """Whether any policy of the service allows the operation (`aws.greengrass#Name`) on the resource."""
    for policy in _policies(access_control, service):
        operations = _texts(policy, "operations")
        if "*" not in operations and operation not in operations:
            continue
        if resource is None:
            return True
        if any(
            resource_matches(profile, service, allowed, resource) for allowed in _texts(policy, "resources")
        ):
            return True
    return False


def check(
    profile: Profile, component: str, access_control: Json, service: str, operation: str, resource: str
) -> None:
    """Raise UnauthorizedError, in the words of the nucleus, unless it is allowed."""
    if not allows(profile, access_control, service, operation, resource):
        raise UnauthorizedError(
            f"Principal {component} is not authorized to perform {service}:{operation} on resource {resource}"
        )


def _policies(access_control: Json, service: str) -> Iterator[Object]:
    if not isinstance(access_control, dict):
        return
    policies = access_control.get(service)
    if isinstance(policies, dict):
        yield from (policy for policy in policies.values() if isinstance(policy, dict))


def _texts(policy: Object, key: str) -> list[str]:
    value = policy.get(key)
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []
