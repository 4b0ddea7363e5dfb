"""Where commands go: a simulated cloud on this machine, or an AWS account. Both give the same four things."""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from headgate_cloud.cli.asking import things
from headgate_cloud.cli.errors import UNREACHABLE, USAGE, Complaint

if TYPE_CHECKING:
    from headgate_cloud.cli.link import Link

ROOT: Final = Path(__file__).parents[2]
STACK: Final = "headgate"


class Cloud(Protocol):
    """Raises Complaint, or botocore's errors as they come."""

    def client(self, service: str) -> Any:
        """boto3's client (which is untyped)."""

    def table(self, logical: str) -> str:
        """The physical name of a table of the template."""

    def bucket(self) -> str:
        """The bucket of files."""

    def archive(self) -> str:
        """The bucket of envelopes."""

    def link(self) -> Link:
        """An MQTT connection, not started yet."""

    def default_things(self) -> Sequence[str]:
        """Those meant where none is named; empty where that cannot be known."""


def chosen(given: argparse.Namespace) -> Cloud:
    """The cloud that the options name; raises Complaint."""
    if given.sim is not None:
        return SimulatedCloud(run_directory(given.sim))
    from headgate_cloud.cli.aws import AwsCloud

    return AwsCloud(given.profile, given.region, given.stack or STACK)


def chosen_things(given: argparse.Namespace, cloud: Cloud) -> list[str]:
    """The gateways that the options name; raises Complaint where that is none or unclear."""
    named = things(given.thing or [os.environ.get("HEADGATE_THING", "")])
    if named:
        return named
    known = cloud.default_things()
    if len(known) == 1:
        return list(known)
    hint = f" (there are {', '.join(known)})" if known else " (or set HEADGATE_THING)"
    raise Complaint(f"which gateway? Name it with --thing{hint}", USAGE)


def run_directory(named: str, roots: Sequence[Path] | None = None) -> Path:
    """The directory that holds a running cloud's cloud.json: of the run named, or of the newest one."""
    if named:
        for path in (Path(named), Path(named) / "cloud"):
            if (path / "cloud.json").is_file():
                return path
        raise Complaint(f"{named} holds no running simulated cloud (no cloud.json in it)", UNREACHABLE)
    roots = (Path.cwd(), ROOT) if roots is None else roots
    found = [path for root in roots for path in root.glob(".run/*/cloud/cloud.json")]
    if not found:
        raise Complaint(
            "no simulated cloud is running here (no .run/*/cloud/cloud.json); start one with ./dev demo",
            UNREACHABLE,
        )
    return max(found, key=lambda path: path.stat().st_mtime).parent


class SimulatedCloud:
    """What `cloud.json` describes; the observer's certificate may read and write everything."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._facts: dict[str, Any] = json.loads((directory / "cloud.json").read_text())

    def client(self, service: str) -> Any:
        import boto3
        from botocore.config import Config

        where = {"s3": "s3_endpoint", "iot": "iot_endpoint"}.get(service, "aws_endpoint")
        # A profile or a proxy of the user's must not reach a simulation.
        return boto3.session.Session(region_name=self._facts["region"]).client(
            service,
            endpoint_url=self._facts[where],
            aws_access_key_id=self._facts["credentials"]["access_key"],
            aws_secret_access_key=self._facts["credentials"]["secret_key"],
            config=Config(proxies={}, retries={"total_max_attempts": 2}, s3={"addressing_style": "path"}),
        )

    def table(self, logical: str) -> str:
        found = self._facts["tables"].get(logical)
        if not isinstance(found, str):
            raise Complaint(f"{self._directory}/cloud.json names no table {logical}", UNREACHABLE)
        return found

    def bucket(self) -> str:
        found: str = self._facts["bucket"]
        return found

    def archive(self) -> str:
        found: str = self._facts["archive"]
        return found

    def link(self) -> Link:
        from headgate_cloud.cli.link import Link

        return Link.with_certificate(
            host=self._facts["broker"]["host"],
            port=self._facts["broker"]["port"],
            ca=self._facts["ca"],
            cert=self._facts["observer"]["cert"],
            key=self._facts["observer"]["key"],
        )

    def default_things(self) -> Sequence[str]:
        return list(self._facts["things"])
