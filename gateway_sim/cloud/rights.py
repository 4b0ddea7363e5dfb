"""The template's policy for gateways, in mosquitto's words: what a certificate may publish and receive."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from gateway_sim.cloud.certificates import CLOUD_IDENTITY
from gateway_sim.cloud.template import Unsupported

_THING: Final = "${iot:Connection.Thing.ThingName}"
_ACCESS: Final = {"iot:Publish": ("topic", "write"), "iot:Receive": ("topic", "read")}
# The nucleus has a policy of its own for these (Greengrass: shadows, jobs of deployments).
_NUCLEUS: Final = "pattern readwrite $aws/things/%u/#"


def acl(policy: Mapping[str, Any]) -> str:
    """mosquitto's acl_file; %u is the certificate's common name. Raises Unsupported.

    A subscription beyond what may be received is accepted and brings nothing, as mosquitto filters where it
    delivers. Client ids are left out: mosquitto ties rights to the certificate itself.
    """
    lines = [f"user {CLOUD_IDENTITY}", "topic readwrite #", "topic readwrite $aws/#", "", *_patterns(policy)]
    return "\n".join([*lines, _NUCLEUS, ""])


def _patterns(policy: Mapping[str, Any]) -> Iterator[str]:
    for statement in policy["Statement"]:
        if statement["Effect"] != "Allow":
            raise Unsupported("of the gateways' policy, statements that allow are simulated, nothing else")
        for action in _list(statement["Action"]):
            if action not in (*_ACCESS, "iot:Connect", "iot:Subscribe"):
                raise Unsupported(f"{action} in the gateways' policy is not simulated")
            for resource in _list(statement["Resource"]) if action in _ACCESS else ():
                kind, access = _ACCESS[action]
                yield f"pattern {access} {_filter(resource, kind)}"


def _filter(resource: str, kind: str) -> str:
    """`arn:...:topic/a/${thing}/b/*` is `a/%u/b/#`."""
    _, found, topic = resource.partition(f":{kind}/")
    levels = topic.replace(_THING, "%u").split("/")
    if not found or any("*" in level for level in levels[:-1]) or "%u" not in levels:
        raise Unsupported(f"{resource} in the gateways' policy is not simulated")
    if "*" in levels[-1]:
        if levels[-1] != "*":
            raise Unsupported(f"{resource} in the gateways' policy: a * stands for whole levels here")
        levels[-1] = "#"
    return "/".join(levels)


def _list(value: Any) -> list[str]:
    return value if isinstance(value, list) else [value]
