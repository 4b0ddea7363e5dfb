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
    tables = (
        *("Envelopes", "Streams", "Rejected", "Gateways"),
        *("Fetches", "Files", "FilePages", "Replies"),
    )
    assert stack.tables == {name: f"headgate-{name}" for name in tables}
    assert stack.buckets == {"Archive": "headgate-archive", "Uploads": "headgate-uploads"}
    assert stack.environment["ENVELOPES_TABLE"] == "headgate-Envelopes"
    assert stack.environment["UPLOADS_BUCKET"] == "headgate-uploads"
    assert [function.handler for function in stack.functions] == [
        "headgate_cloud.ingest.handler",
        "headgate_cloud.silent.handler",
        "headgate_cloud.fetch.handler",
        "headgate_cloud.files.handler",
        "headgate_cloud.presence.handler",
    ]
    assert [(function.logical, function.every_s) for function in stack.scheduled] == [
        ("WatchFunction", 300.0),
        ("FetchFunction", 60.0),
    ]
    assert {function.code for function in stack.functions} == {TEMPLATE.parent}
    assert all(function.partial_responses for function in stack.queued)
    queues = ["headgate-IngestQueue", "headgate-FilesQueue", "headgate-PresenceQueue"]
    assert [function.queue for function in stack.queued] == queues
    assert [(rule.name, queue) for rule, queue in stack.rules] == list(
        zip(("hg_ingest_v1", "hg_files_v1", "hg_presence_v1"), queues, strict=True)
    )
    with mock_aws():
        keys = {"region_name": "eu-central-1", "aws_access_key_id": "x", "aws_secret_access_key": "x"}
        dynamodb, sqs = boto3.client("dynamodb", **keys), boto3.client("sqs", **keys)
        urls = stack.deploy(dynamodb, sqs, boto3.client("s3", **keys), boto3.client("sns", **keys))
        assert sorted(dynamodb.list_tables()["TableNames"]) == sorted(stack.tables.values())
        found = sqs.get_queue_attributes(QueueUrl=urls["headgate-IngestQueue"], AttributeNames=["All"])[
            "Attributes"
        ]
    assert found["VisibilityTimeout"] == "3"
    assert json.loads(found["RedrivePolicy"])["deadLetterTargetArn"].endswith(":headgate-IngestDeadLetters")


def test_the_gateway_policy_says_who_may_do_what_within_the_limit() -> None:
    document = Template(TEMPLATE).resources("AWS::IoT::Policy")[0].properties["PolicyDocument"]
    # AWS IoT Core quota "Policy document size", whitespace not counted.
    assert len(json.dumps(document, separators=(",", ":"))) <= 2048
    allowed = [(s["Action"], s["Resource"]) for s in document["Statement"]]
    thing, arn = "${iot:Connection.Thing.ThingName}", "arn:aws:iot:eu-central-1:123456789012:"
    assert allowed == [
        ("iot:Connect", [f"{arn}client/{thing}", f"{arn}client/{thing}#*"]),
        (
            "iot:Publish",
            [f"{arn}topic/hg/v1/{thing}/up/*", f"{arn}topic/$aws/rules/hg_ingest_v1/hg/v1/{thing}/up/*"],
        ),
        (["iot:Publish", "iot:Receive"], f"{arn}topic/$aws/things/{thing}/jobs/*"),
        (
            "iot:Subscribe",
            [f"{arn}topicfilter/hg/v1/{thing}/dn/*", f"{arn}topicfilter/$aws/things/{thing}/jobs/*"],
        ),
        ("iot:Receive", f"{arn}topic/hg/v1/{thing}/dn/*"),
    ]


def test_nothing_is_allowed_on_everything() -> None:
    functions = Template(TEMPLATE).resources("AWS::Serverless::Function")
    policies = [policy for function in functions for policy in function.properties["Policies"]]
    statements = [s for policy in policies for s in policy["Statement"]]
    assert {s["Effect"] for s in statements} == {"Allow"}
    for statement in statements:
        actions = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
        resources = (
            statement["Resource"] if isinstance(statement["Resource"], list) else [statement["Resource"]]
        )
        assert not any("*" in action for action in actions)
        for resource in resources:
            assert resource.startswith("arn:aws:")
            wide = ("arn:aws:s3:::headgate-uploads/*", "arn:aws:s3:::headgate-archive/envelopes/v1/*")
            assert not resource.endswith("*") or resource in wide


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
        ("KmsDataKeyReusePeriodSeconds", "FifoQueue", "IngestQueue.FifoQueue is not simulated"),
        ("BillingMode: PAY_PER_REQUEST", "TableClass: STANDARD", "Envelopes.TableClass is not simulated"),
        ("UseBase64: false", "UseBase64: true", "one Sqs action without UseBase64"),
        ('AwsIotSqlVersion: "2016-03-23"', 'AwsIotSqlVersion: "beta"', "SQL version beta"),
        ("MaximumBatchingWindowInSeconds", "FilterCriteria", "FilterCriteria is not simulated"),
        ("rate(1 minute)", "cron(0 0 1 1 x 2026)", "a rate in minutes or hours is simulated"),
        ("LifecycleConfiguration", "VersioningConfiguration", "Archive.VersioningConfiguration is not"),
        (
            "FILE_PAGES_TABLE: !Ref FilePages",
            "FILES_TABLE: !Ref FilePages",
            "another function has FILES_TABLE",
        ),
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
    rules = read(Template(TEMPLATE, {"NamePrefix": "site"})).rules
    assert [rule.name for rule, _ in rules] == ["site_ingest_v1", "site_files_v1", "site_presence_v1"]
