"""From the template to what the simulator runs: tables, queues and buckets to make, rules, functions."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from gateway_sim.cloud.rules import Rule
from gateway_sim.cloud.template import REGION, Resource, Template, Unsupported

# What has no meaning in a simulation: accepted, without effect.
_INERT: Final = (
    *(
        "SSESpecification",
        "PointInTimeRecoverySpecification",
        "KmsMasterKeyId",
        "KmsDataKeyReusePeriodSeconds",
        "TimeToLiveSpecification",
    ),
    *("BucketEncryption", "OwnershipControls", "PublicAccessBlockConfiguration", "LifecycleConfiguration"),
)
_TABLE: Final = ("BillingMode", "AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes")
_QUEUE: Final = ("MessageRetentionPeriod", "VisibilityTimeout", "RedrivePolicy")
_RATE: Final = re.compile(r"rate\((\d+) (minute|hour)s?\)")
_SOURCE: Final = ("Queue", "BatchSize", "MaximumBatchingWindowInSeconds", "FunctionResponseTypes")


@dataclass(frozen=True, slots=True)
class Function:
    """A Lambda function and its one event source: a queue, or, where `every_s` is not 0, a schedule."""

    logical: str
    handler: str
    code: Path
    environment: Mapping[str, str]
    queue: str = ""
    batch_size: int = 0
    window_s: float = 0.0
    partial_responses: bool = False
    every_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Stack:
    """What was read from the template; names are physical ones. Each rule comes with its queue."""

    rules: tuple[tuple[Rule, str], ...]
    functions: tuple[Function, ...]
    tables: Mapping[str, str]
    buckets: Mapping[str, str]
    gateway_policy: Mapping[str, Any]
    _topics: tuple[Resource, ...]
    _queues: tuple[Resource, ...]
    _tables: tuple[Resource, ...]

    @property
    def environment(self) -> dict[str, str]:
        """Of all functions together, which `read` has found not to contradict each other."""
        return {name: value for function in self.functions for name, value in function.environment.items()}

    @property
    def queued(self) -> tuple[Function, ...]:
        return tuple(function for function in self.functions if function.queue)

    @property
    def scheduled(self) -> tuple[Function, ...]:
        return tuple(function for function in self.functions if function.every_s)

    def deploy(self, dynamodb: Any, sqs: Any, s3: Any, sns: Any) -> dict[str, str]:
        """Make tables, queues, buckets, topics; gives the queues' URLs. The clients are boto3's, untyped."""
        for table in self._tables:
            wanted = _pick(table, _TABLE)
            dynamodb.create_table(TableName=table.name, **wanted)
        urls = {queue.name: str(sqs.create_queue(QueueName=queue.name)["QueueUrl"]) for queue in self._queues}
        for queue in self._queues:
            sqs.set_queue_attributes(QueueUrl=urls[queue.name], Attributes=_queue_attributes(queue))
        for bucket in self.buckets.values():
            s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": REGION})
        for topic in self._topics:
            sns.create_topic(Name=topic.name)
        return urls


def read(template: Template) -> Stack:
    """Raises Unsupported, or rules.BadRule, before anything is made."""
    queues = template.resources("AWS::SQS::Queue")
    tables = template.resources("AWS::DynamoDB::Table")
    buckets = template.resources("AWS::S3::Bucket")
    for queue in queues:
        _queue_attributes(queue)
    for table in tables:
        _pick(table, _TABLE)
    for inert in (*buckets, *(topics := template.resources("AWS::SNS::Topic"))):
        _pick(inert, ())
    rules = tuple(_rule(rule) for rule in template.resources("AWS::IoT::TopicRule"))
    functions = tuple(
        _function(function, template.path.parent)
        for function in template.resources("AWS::Serverless::Function")
    )
    for name in (
        *(queue for _, queue in rules),
        *(function.queue for function in functions if function.queue),
    ):
        if name not in {queue.name for queue in queues}:
            raise Unsupported(f"{name} is no queue of the template")
    _check_environments(functions)
    return Stack(
        rules,
        functions,
        {table.logical: table.name for table in tables},
        {bucket.logical: bucket.name for bucket in buckets},
        template.resources("AWS::IoT::Policy")[0].properties["PolicyDocument"],
        tuple(topics),
        tuple(queues),
        tuple(tables),
    )


def _check_environments(functions: tuple[Function, ...]) -> None:
    """One process runs all functions, so a variable can have one value."""
    whole: dict[str, str] = {}
    for function in functions:
        for name, value in function.environment.items():
            if whole.setdefault(name, value) != value:
                raise Unsupported(f"{function.handler}: another function has {name} with another value")


def _pick(resource: Resource, names: tuple[str, ...]) -> dict[str, Any]:
    """The properties that have an effect here; one that is neither in `names` nor inert is refused."""
    for name in resource.properties:
        if name not in names and name not in _INERT:
            raise Unsupported(f"{resource.logical}.{name} is not simulated")
    return {name: resource.properties[name] for name in names if name in resource.properties}


def _queue_attributes(queue: Resource) -> dict[str, str]:
    found = _pick(queue, _QUEUE)
    return {
        name: json.dumps(value) if isinstance(value, dict) else str(value) for name, value in found.items()
    }


def _rule(resource: Resource) -> tuple[Rule, str]:
    payload = resource.properties["TopicRulePayload"]
    if payload.get("AwsIotSqlVersion") != "2016-03-23":
        raise Unsupported(
            f"{resource.logical}: SQL version {payload.get('AwsIotSqlVersion')} is not simulated"
        )
    actions = payload["Actions"]
    if len(actions) != 1 or set(actions[0]) != {"Sqs"} or actions[0]["Sqs"].get("UseBase64"):
        raise Unsupported(f"{resource.logical}: one Sqs action without UseBase64 is simulated, nothing else")
    return Rule.parse(resource.properties["RuleName"], payload["Sql"]), actions[0]["Sqs"]["QueueUrl"]


def _function(resource: Resource, base: Path) -> Function:
    events = list(resource.properties.get("Events", {}).values())
    if len(events) != 1 or events[0]["Type"] not in ("SQS", "Schedule"):
        raise Unsupported(f"{resource.logical}: one event of type SQS or Schedule is simulated, nothing else")
    variables = resource.properties.get("Environment", {}).get("Variables", {})
    function = Function(
        logical=resource.logical,
        handler=resource.properties["Handler"],
        code=(base / resource.properties["CodeUri"]).resolve(),
        environment={name: str(value) for name, value in variables.items()},
    )
    source = events[0]["Properties"]
    return (_on_schedule if events[0]["Type"] == "Schedule" else _on_queue)(function, source)


def _on_queue(function: Function, source: Mapping[str, Any]) -> Function:
    for name in source:
        if name not in _SOURCE:
            raise Unsupported(f"{function.logical}.Events: {name} is not simulated")
    return replace(
        function,
        queue=source["Queue"].rpartition(":")[2],
        batch_size=int(source.get("BatchSize", 10)),
        window_s=float(source.get("MaximumBatchingWindowInSeconds", 0)),
        partial_responses="ReportBatchItemFailures" in source.get("FunctionResponseTypes", []),
    )


def _on_schedule(function: Function, source: Mapping[str, Any]) -> Function:
    rate = _RATE.fullmatch(str(source.get("Schedule")))
    if rate is None or set(source) != {"Schedule"}:
        raise Unsupported(f"{function.logical}.Events: a rate in minutes or hours is simulated, nothing else")
    return replace(function, every_s=int(rate[1]) * (60.0 if rate[2] == "minute" else 3600.0))
