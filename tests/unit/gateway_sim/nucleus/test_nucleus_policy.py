"""accessControl of the simulated nucleus: wildcards, escapes, levels, and where the two nuclei differ."""

from __future__ import annotations

import pytest

from gateway_sim.nucleus.errors import UnauthorizedError
from gateway_sim.nucleus.jsonvalue import Json
from gateway_sim.nucleus.policy import MQTT_PROXY, PUBSUB, allows, check, resource_matches
from gateway_sim.nucleus.profiles import CLASSIC, LITE, Profile

BOTH = pytest.mark.parametrize("profile", [CLASSIC, LITE], ids=lambda profile: profile.name)


@BOTH
@pytest.mark.parametrize(
    ("allowed", "resource", "expected"),
    [
        ("a/b", "a/b", True),
        ("a/b", "a/b/c", False),
        ("*", "anything/at/all", True),
        ("a/*", "a/b/c", True),
        ("a/*/z", "a/b/c/z", True),
        ("a*z", "a/b/z", True),
        ("a/*", "a", False),
        ("a/${*}", "a/*", True),
        ("a/${*}", "a/b", False),
        ("a/${?}", "a/?", True),
        ("a/?", "a/b", False),
        ("a/?", "a/?", True),
        ("${$}aws/x", "$aws/x", True),
        ("$aws/x", "$aws/x", True),
        ("a.b", "axb", False),
        ("a/+", "a/b", False),
        ("a/+", "a/+", True),
        ("a/#", "a/b", False),
        ("a/#", "a/#", True),
    ],
)
def test_pubsub(profile: Profile, allowed: str, resource: str, expected: bool) -> None:
    assert resource_matches(profile, PUBSUB, allowed, resource) is expected


@BOTH
@pytest.mark.parametrize(
    ("allowed", "resource", "expected"),
    [
        ("a/+/c", "a/b/c", True),
        ("a/+/c", "a/b/b/c", False),
        ("a/+", "a/+", True),
        ("a/+", "a/#", False),
        ("a/#", "a/b/c", True),
        ("a/#", "a/+/c", True),
        ("a/#", "a/#", True),
        ("a/#", "ab", False),
        ("#", "a/b", True),
        ("a+/c", "ab/c", False),
        ("a+/c", "a+/c", True),
        ("a/b#", "a/b#", True),
        ("a/b#", "a/bc", False),
        ("a/*/+", "a/b/c/d", True),
    ],
)
def test_mqttproxy(profile: Profile, allowed: str, resource: str, expected: bool) -> None:
    assert resource_matches(profile, MQTT_PROXY, allowed, resource) is expected


def test_a_tree_covers_its_root_in_classic_only() -> None:
    assert resource_matches(CLASSIC, MQTT_PROXY, "abc/#", "abc")
    assert not resource_matches(LITE, MQTT_PROXY, "abc/#", "abc")


def test_operations_policies_and_services_are_each_matched() -> None:
    access: Json = {
        PUBSUB: {
            "one": {"operations": ["aws.greengrass#PublishToTopic"], "resources": ["a"]},
            "two": {"operations": ["*"], "resources": ["b"]},
            "broken": "not a policy",
        }
    }
    publish, subscribe = "aws.greengrass#PublishToTopic", "aws.greengrass#SubscribeToTopic"
    assert allows(CLASSIC, access, PUBSUB, publish, "a")
    assert not allows(CLASSIC, access, PUBSUB, subscribe, "a")
    assert allows(CLASSIC, access, PUBSUB, subscribe, "b")
    assert not allows(CLASSIC, access, MQTT_PROXY, publish, "a")
    assert not allows(CLASSIC, None, PUBSUB, publish, "a")


def test_a_refusal_names_component_operation_and_resource() -> None:
    with pytest.raises(UnauthorizedError, match=r"my\.Comp .*#PublishToTopic on resource some/topic"):
        check(CLASSIC, "my.Comp", {}, PUBSUB, "aws.greengrass#PublishToTopic", "some/topic")
