"""An AWS account: names from the CloudFormation stack, credentials from the profile, MQTT signed by them."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ClientError, ProfileNotFound

from headgate_cloud.cli.errors import UNREACHABLE, USAGE, Complaint

if TYPE_CHECKING:
    from headgate_cloud.cli.link import Link


class AwsCloud:
    """A region of an account. Nothing is asked of AWS before it is needed."""

    def __init__(self, profile: str | None, region: str | None, stack: str) -> None:
        try:
            self._session = boto3.session.Session(profile_name=profile, region_name=region)
        except ProfileNotFound as error:
            raise Complaint(f"{error}; aws configure list-profiles lists them", USAGE) from None
        if self._session.region_name is None:
            raise Complaint("which region? Name it with --region, or in the profile", USAGE)
        self._stack = stack

    @functools.cache  # noqa: B019 - lives as long as the process
    def client(self, service: str) -> Any:
        return self._session.client(service)

    def table(self, logical: str) -> str:
        return self._physical(logical)

    def bucket(self) -> str:
        return self._physical("Uploads")

    def archive(self) -> str:
        return self._physical("Archive")

    def link(self) -> Link:
        from headgate_cloud.cli.link import Link

        endpoint = self.client("iot").describe_endpoint(endpointType="iot:Data-ATS")["endpointAddress"]
        credentials = self._session.get_credentials()
        if credentials is None:
            raise Complaint("no AWS credentials; see aws configure, or name a --profile", UNREACHABLE)
        # Through boto3, so that SSO, assumed roles and whatever else a profile holds work here too.
        return Link.signed(host=endpoint, region=self._session.region_name, credentials=credentials)

    def default_things(self) -> Sequence[str]:
        return []

    @functools.cache  # noqa: B019 - lives as long as the process
    def _physical(self, logical: str) -> str:
        try:
            found = self.client("cloudformation").describe_stack_resource(
                StackName=self._stack, LogicalResourceId=logical
            )
        except ClientError as error:
            said = error.response["Error"]["Message"]
            raise Complaint(
                f"stack {self._stack}, {logical}: {said} (--stack names another)", UNREACHABLE
            ) from None
        name: str = found["StackResourceDetail"]["PhysicalResourceId"]
        return name
