"""A running simulated cloud, as tests of the courier look at it."""

from __future__ import annotations

import itertools
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3

from gateway_sim.cloud import control


@dataclass
class Cloud:
    """Its tables, its bucket, the record of every PUT, and its faults."""

    directory: Path
    facts: dict[str, Any]
    _free: Any = field(default_factory=lambda: itertools.count(1))

    def thing(self) -> str:
        """A gateway that no other test uses."""
        return f"gw-{next(self._free)}"

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.facts["s3_endpoint" if service == "s3" else "aws_endpoint"],
            region_name=self.facts["region"],
            aws_access_key_id=self.facts["credentials"]["access_key"],
            aws_secret_access_key=self.facts["credentials"]["secret_key"],
        )

    def row(self, thing: str, file_id: str) -> dict[str, str]:
        key = {"thing": {"S": thing}, "file_id": {"S": file_id}}
        found = self.client("dynamodb").get_item(TableName=self.facts["tables"]["Files"], Key=key)
        return {name: next(iter(value.values())) for name, value in found.get("Item", {}).items()}

    def body(self, key: str) -> bytes:
        found = self.client("s3").get_object(Bucket=self.facts["bucket"], Key=key)["Body"].read()
        assert isinstance(found, bytes)
        return found

    def puts(self, thing: str) -> list[dict[str, Any]]:
        """Every PUT of a part of this gateway's files."""
        lines = (self.directory / "s3.jsonl").read_text().splitlines()
        return [line for line in map(json.loads, lines) if line["key"].startswith(f"{thing}/")]

    def do(self, what: str) -> dict[str, Any]:
        return control.ask(self.directory, what)

    def again(self) -> int:
        """How many parts were sent though S3 held them."""
        return int(self.do("counters")["counters"]["s3_parts_again"])
