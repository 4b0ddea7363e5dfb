"""The gateways' policy in mosquitto's words."""

from __future__ import annotations

from typing import Any

import pytest

from gateway_sim.cloud.rights import acl
from gateway_sim.cloud.run import TEMPLATE
from gateway_sim.cloud.stack import read
from gateway_sim.cloud.template import Template, Unsupported

ARN = "arn:aws:iot:eu-central-1:123456789012:"
THING = "${iot:Connection.Thing.ThingName}"


def test_the_shipped_policy() -> None:
    lines = acl(read(Template(TEMPLATE)).gateway_policy).splitlines()
    assert lines[4:] == [
        "pattern write hg/v1/%u/up/#",
        "pattern write $aws/rules/hg_ingest_v1/hg/v1/%u/up/#",
        "pattern write $aws/things/%u/jobs/#",
        "pattern read $aws/things/%u/jobs/#",
        "pattern read hg/v1/%u/dn/#",
        "pattern readwrite $aws/things/%u/#",
    ]


@pytest.mark.parametrize(
    "statement",
    [
        {"Effect": "Deny", "Action": "iot:Publish", "Resource": f"{ARN}topic/hg/v1/{THING}/up/*"},
        {"Effect": "Allow", "Action": "iot:RetainPublish", "Resource": f"{ARN}topic/hg/v1/{THING}/up/*"},
        {"Effect": "Allow", "Action": "iot:Publish", "Resource": f"{ARN}topic/hg/v1/*/up/*"},
        {"Effect": "Allow", "Action": "iot:Publish", "Resource": f"{ARN}topic/hg/v1/{THING}/up*"},
        {"Effect": "Allow", "Action": "iot:Publish", "Resource": f"{ARN}topic/hg/*/{THING}/up"},
        {"Effect": "Allow", "Action": "iot:Receive", "Resource": f"{ARN}topicfilter/hg/v1/{THING}/dn/*"},
        {"Effect": "Allow", "Action": "iot:Publish", "Resource": "*"},
    ],
)
def test_what_mosquitto_cannot_say_is_refused(statement: dict[str, Any]) -> None:
    with pytest.raises(Unsupported):
        acl({"Statement": [statement]})
