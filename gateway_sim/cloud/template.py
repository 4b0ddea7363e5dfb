"""The subset of CloudFormation that the shipped template uses, resolved; anything else is refused by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

STACK: Final = "headgate"
REGION: Final = "eu-central-1"
ACCOUNT: Final = "123456789012"  # moto's
_PSEUDO: Final = {"AWS::Region": REGION, "AWS::AccountId": ACCOUNT, "AWS::Partition": "aws"}
_VARIABLE: Final = re.compile(r"\$\{(!?)([^}]+)\}")
_ARN: Final = {
    "AWS::SQS::Queue": f"arn:aws:sqs:{REGION}:{ACCOUNT}:",
    "AWS::DynamoDB::Table": f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/",
    "AWS::IAM::Role": f"arn:aws:iam::{ACCOUNT}:role/",
    "AWS::S3::Bucket": "arn:aws:s3:::",
    "AWS::KMS::Key": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/",
    "AWS::SNS::Topic": f"arn:aws:sns:{REGION}:{ACCOUNT}:",
}
_REF_IS_ARN: Final = ("AWS::SNS::Topic",)


class Unsupported(Exception):
    """The template holds something that this subset does not know; the text names it and its place."""


@dataclass(frozen=True, slots=True)
class Tag:
    """An unresolved `!Name value`."""

    name: str
    value: object


@dataclass(frozen=True, slots=True)
class Resource:
    """A resource with its references resolved. `name` is the physical name that the simulator gives it."""

    logical: str
    kind: str
    name: str
    properties: Mapping[str, Any]


class _Loader(yaml.SafeLoader):
    """YAML with CloudFormation's short tags."""


def _construct(loader: _Loader, suffix: str, node: yaml.Node) -> Tag:
    where = f"line {node.start_mark.line + 1}: !{suffix}"
    if suffix not in ("Ref", "Sub", "GetAtt"):
        raise Unsupported(f"{where} is not simulated (Ref, Sub and GetAtt are)")
    if not isinstance(node, yaml.ScalarNode):
        raise Unsupported(f"{where} of anything but a string is not simulated")
    return Tag(suffix, loader.construct_scalar(node))


_Loader.add_multi_constructor("!", _construct)


class Template:
    """A template read from a file; `parameters` override the defaults."""

    def __init__(self, path: Path, parameters: Mapping[str, str] | None = None) -> None:
        self.path = path
        document = yaml.load(path.read_text(), _Loader)
        given = dict(parameters or {})
        self._parameters: dict[str, object] = {}
        for name, parameter in document.get("Parameters", {}).items():
            self._parameters[name] = given.pop(name, parameter.get("Default"))
            if self._parameters[name] is None:
                raise Unsupported(f"parameter {name} has no default and was not given")
        if given:
            raise Unsupported(f"the template has no parameter {', '.join(given)}")
        self._raw: dict[str, dict[str, Any]] = document["Resources"]

    def resources(self, kind: str) -> list[Resource]:
        """Those of one type, in the template's order."""
        return [self._resource(logical) for logical, raw in self._raw.items() if raw["Type"] == kind]

    def _resource(self, logical: str) -> Resource:
        raw = self._raw[logical]
        properties = self._resolve(raw.get("Properties", {}), logical)
        assert isinstance(properties, dict)
        return Resource(logical, raw["Type"], self._physical(logical), properties)

    def _physical(self, logical: str) -> str:
        name = f"{STACK}-{logical}"
        return name.lower() if self._raw[logical]["Type"] == "AWS::S3::Bucket" else name

    def _resolve(self, value: object, path: str) -> object:
        if isinstance(value, dict):
            for name in value:
                if name.startswith("Fn::") or name == "Ref":
                    raise Unsupported(f"{path}: {name} in its long form is not simulated")
            return {name: self._resolve(inner, f"{path}.{name}") for name, inner in value.items()}
        if isinstance(value, list):
            return [self._resolve(inner, f"{path}[{i}]") for i, inner in enumerate(value)]
        if not isinstance(value, Tag):
            return value
        text = str(value.value)
        match value.name:
            case "Ref":
                return self._ref(text, path)
            case "Sub":
                return self._sub(text, path)
            case _:
                return self._get_att(text, path)

    def _ref(self, name: str, path: str) -> object:
        if name in _PSEUDO:
            return _PSEUDO[name]
        if name in self._parameters:
            return self._parameters[name]
        if name in self._raw:
            kind = self._raw[name]["Type"]
            return (_ARN[kind] if kind in _REF_IS_ARN else "") + self._physical(name)
        raise Unsupported(f"{path}: !Ref {name} names no parameter, resource or known pseudo parameter")

    def _sub(self, text: str, path: str) -> str:
        def replace(match: re.Match[str]) -> str:
            literal, name = match.groups()
            if literal:
                return "${" + name + "}"
            return str(self._get_att(name, path) if "." in name else self._ref(name, path))

        return _VARIABLE.sub(replace, text)

    def _get_att(self, name: str, path: str) -> str:
        logical, _, attribute = name.partition(".")
        if logical not in self._raw:
            raise Unsupported(f"{path}: !GetAtt {name} names no resource")
        kind = self._raw[logical]["Type"]
        if attribute == "QueueName" and kind == "AWS::SQS::Queue":
            return self._physical(logical)
        if attribute == "Arn" and kind in _ARN:
            return _ARN[kind] + self._physical(logical)
        raise Unsupported(f"{path}: !GetAtt {name} of a {kind} is not simulated")
