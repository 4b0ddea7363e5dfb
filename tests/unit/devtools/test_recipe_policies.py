"""The recipes allow exactly what docs/wire.md lets their components send and hear."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]

PUBLIC = {
    ("PublishToTopic", "hg/v1/local/live/*"),
    ("PublishToTopic", "hg/v1/local/windows/*"),
    ("PublishToTopic", "hg/v1/local/alarms"),
}
"""For other people's components."""

ALLOWED = {
    "headgate.Runtime": set(),
    "headgate.ModbusBridge": {
        ("PublishToTopic", "hg/v1/local/batch/modbus"),
        ("PublishToTopic", "hg/v1/local/alive/modbus"),
        ("PublishToTopic", "hg/v1/local/reply/*"),
        ("SubscribeToTopic", "hg/v1/local/ack/modbus"),
        ("SubscribeToTopic", "hg/v1/local/hub"),
        ("SubscribeToTopic", "hg/v1/local/dictionary/modbus"),
        ("SubscribeToTopic", "hg/v1/local/call/modbus"),
    },
    "headgate.BleBridge": {
        ("PublishToTopic", "hg/v1/local/batch/ble"),
        ("PublishToTopic", "hg/v1/local/alive/ble"),
        ("PublishToTopic", "hg/v1/local/reply/*"),
        ("SubscribeToTopic", "hg/v1/local/ack/ble"),
        ("SubscribeToTopic", "hg/v1/local/hub"),
        ("SubscribeToTopic", "hg/v1/local/dictionary/ble"),
        ("SubscribeToTopic", "hg/v1/local/call/ble"),
    },
    "headgate.FileCourier": {
        ("PublishToTopic", "hg/v1/local/report"),
        ("PublishToTopic", "hg/v1/local/file"),
        ("PublishToTopic", "hg/v1/local/reply/*"),
        ("SubscribeToTopic", "hg/v1/local/call/files"),
        ("SubscribeToTopic", "hg/v1/local/hub"),
        ("SubscribeToTopic", "hg/v1/local/reply/*"),
        ("PublishToIoTCore", "hg/v1/+/up/file"),
        ("SubscribeToIoTCore", "hg/v1/+/dn/file"),
    },
    "headgate.Hub": {
        ("PublishToTopic", "hg/v1/local/ack/*"),
        ("PublishToTopic", "hg/v1/local/hub"),
        ("PublishToTopic", "hg/v1/local/dictionary/*"),
        ("PublishToTopic", "hg/v1/local/call/*"),
        ("PublishToTopic", "hg/v1/local/reply/*"),
        *PUBLIC,
        ("SubscribeToTopic", "hg/v1/local/batch/*"),
        ("SubscribeToTopic", "hg/v1/local/alive/*"),
        ("SubscribeToTopic", "hg/v1/local/report"),
        ("SubscribeToTopic", "hg/v1/local/file"),
        ("SubscribeToTopic", "hg/v1/local/reply/*"),
        ("PublishToIoTCore", "$aws/rules/hg_ingest_v1/hg/v1/+/up/#"),
        ("PublishToIoTCore", "hg/v1/+/up/plain/#"),
        ("PublishToIoTCore", "hg/v1/+/up/+/json"),
        ("PublishToIoTCore", "hg/v1/+/up/+/compact"),
        ("PublishToIoTCore", "hg/v1/+/up/reply"),
        ("PublishToIoTCore", "$aws/things/+/jobs/get"),
        ("PublishToIoTCore", "$aws/things/+/jobs/+/get"),
        ("PublishToIoTCore", "$aws/things/+/jobs/+/update"),
        ("SubscribeToIoTCore", "hg/v1/+/dn/ack"),
        ("SubscribeToIoTCore", "hg/v1/+/dn/req/read"),
        ("SubscribeToIoTCore", "hg/v1/+/dn/req/write"),
        ("SubscribeToIoTCore", "$aws/things/+/jobs/notify-next"),
        ("SubscribeToIoTCore", "$aws/things/+/jobs/notify"),
        ("SubscribeToIoTCore", "$aws/things/+/jobs/get/accepted"),
        ("SubscribeToIoTCore", "$aws/things/+/jobs/get/rejected"),
        ("SubscribeToIoTCore", "$aws/things/+/jobs/+/get/accepted"),
        ("SubscribeToIoTCore", "$aws/things/+/jobs/+/get/rejected"),
        ("SubscribeToIoTCore", "$aws/things/+/jobs/+/update/accepted"),
        ("SubscribeToIoTCore", "$aws/things/+/jobs/+/update/rejected"),
    },
}

# Of all its roles, what reaches the cloud and other components: all else that is local stays in the process.
ALLOWED["headgate.AllInOne"] = {
    (operation, resource)
    for component in ("headgate.Hub", "headgate.FileCourier")
    for operation, resource in ALLOWED[component]
    if operation.endswith("IoTCore") or (operation, resource) in PUBLIC
}


@pytest.mark.parametrize("file", sorted((ROOT / "recipes").glob("*.yaml")), ids=lambda file: file.stem)
def test_a_recipe_allows_what_its_component_uses_and_no_more(file: Path) -> None:
    recipe = yaml.safe_load(file.read_text("utf-8"))
    defaults = recipe.get("ComponentConfiguration", {}).get("DefaultConfiguration", {})
    allowed = {
        (operation.removeprefix("aws.greengrass#"), resource)
        for policies in defaults.get("accessControl", {}).values()
        for policy in policies.values()
        for operation in policy["operations"]
        for resource in policy["resources"]
    }
    assert allowed == ALLOWED[file.stem]
    assert set(defaults) <= {"schema", "accessControl"}
