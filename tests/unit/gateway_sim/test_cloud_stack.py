"""The subset of CloudFormation: the shipped template whole, and refusals that name what they refuse."""

from __future__ import annotations

import json
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from gateway_sim.cloud.run import TEMPLATE
from gateway_sim.cloud.stack import read
from gateway_sim.cloud.template import Template, Unsupported


def test_the_shipped_template_is_understood_and_deployed() -> None:
    stack = read(Template(TEMPLATE, {"RetryAfterS": "3"}))
    assert stack.tables == {name: f"headgate-{name}" for name in ("Envelopes", "Streams", "Rejected")}
    assert stack.function.environment["ENVELOPES_TABLE"] == "headgate-Envelopes"
    assert (stack.function.handler, stack.function.code) == ("headgate_cloud.ingest.handler", TEMPLATE.parent)
    assert (stack.function.queue, stack.rule_queue) == ("headgate-IngestQueue", "headgate-IngestQueue")
    assert stack.function.partial_responses
    with mock_aws():
        keys = {"region_name": "eu-central-1", "aws_access_key_id": "x", "aws_secret_access_key": "x"}
        dynamodb, sqs = boto3.client("dynamodb", **keys), boto3.client("sqs", **keys)
        urls = stack.deploy(dynamodb, sqs)
        assert sorted(dynamodb.list_tables()["TableNames"]) == sorted(stack.tables.values())
        found = sqs.get_queue_attributes(QueueUrl=urls["headgate-IngestQueue"], AttributeNames=["All"])[
            "Attributes"
        ]
    assert found["VisibilityTimeout"] == "3"
    assert json.loads(found["RedrivePolicy"])["deadLetterTargetArn"].endswith(":headgate-IngestDeadLetters")


def test_the_gateway_policy_says_who_may_do_what_within_the_limit() -> None:
    document = Template(TEMPLATE).only("AWS::IoT::Policy").properties["PolicyDocument"]
    # AWS IoT Core quota "Policy document size", whitespace not counted.
    assert len(json.dumps(document, separators=(",", ":"))) <= 2048
    allowed = {s["Action"]: s["Resource"] for s in document["Statement"]}
    thing, arn = "${iot:Connection.Thing.ThingName}", "arn:aws:iot:eu-central-1:123456789012:"
    assert allowed == {
        "iot:Connect": [f"{arn}client/{thing}", f"{arn}client/{thing}#*"],
        "iot:Publish": [
            f"{arn}topic/hg/v1/{thing}/up/*",
            f"{arn}topic/$aws/rules/hg_ingest_v1/hg/v1/{thing}/up/*",
        ],
        "iot:Subscribe": f"{arn}topicfilter/hg/v1/{thing}/dn/*",
        "iot:Receive": f"{arn}topic/hg/v1/{thing}/dn/*",
    }


def test_nothing_is_allowed_on_everything() -> None:
    function = Template(TEMPLATE).only("AWS::Serverless::Function").properties
    statements = [s for policy in function["Policies"] for s in policy["Statement"]]
    assert {s["Effect"] for s in statements} == {"Allow"}
    for statement in statements:
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        resources = (
            statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
        )
        assert not any("*" in action for action in actions)
        assert all(resource.startswith("arn:aws:") and not resource.endswith("*") for resource in resources)


@pytest.mark.parametrize(
    ("before", "after", "what"),
    [
        ("!Ref IngestQueue,", "!Ref Nothing,", "!Ref Nothing names no parameter"),
        (
            "!GetAtt IngestQueue.Arn\n            Batch",
            "!GetAtt IngestQueue.Url\n            Batch",
            "!GetAtt IngestQueue.Url of",
        ),
        ("!Ref RetryAfterS", "!If [A, 1, 2]", "!If is not simulated"),
        ("!Ref RetryAfterS", "{Fn::Join: [a, b]}", "Fn::Join in its long form is not simulated"),
        ("SqsManagedSseEnabled", "FifoQueue", "IngestQueue.FifoQueue is not simulated"),
        ("BillingMode: PAY_PER_REQUEST", "TableClass: STANDARD", "Envelopes.TableClass is not simulated"),
        ("UseBase64: false", "UseBase64: true", "one Sqs action without UseBase64"),
        ('AwsIotSqlVersion: "2016-03-23"', 'AwsIotSqlVersion: "beta"', "SQL version beta"),
        ("MaximumBatchingWindowInSeconds", "FilterCriteria", "FilterCriteria is not simulated"),
    ],
)
def test_what_is_not_simulated_is_refused_by_name(tmp_path: Path, before: str, after: str, what: str) -> None:
    text = TEMPLATE.read_text()
    assert before in text
    changed = tmp_path / "template.yaml"
    changed.write_text(text.replace(before, after))
    with pytest.raises(Unsupported) as refusal:
        read(Template(changed))
    assert what in str(refusal.value)


def test_parameters_are_the_templates_own() -> None:
    with pytest.raises(Unsupported, match="no parameter Nmae"):
        Template(TEMPLATE, {"Nmae": "x"})
    assert read(Template(TEMPLATE, {"NamePrefix": "site"})).rule.name == "site_ingest_v1"
