"""The signature check against boto3's own URLs: what is signed passes, every change to it does not."""

from __future__ import annotations

import datetime
import urllib.parse

import boto3
import pytest
from botocore.config import Config

from gateway_sim.cloud.s3.errors import S3Error
from gateway_sim.cloud.s3.signature import Head, Verifier

VERIFIER = Verifier("simulated", "secret", "eu-central-1")
CHECKSUM = "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg="


def signed(**changes: str) -> Head:
    """A pre-signed UploadPart as it arrives; `changes` are of the query."""
    s3 = boto3.client(
        "s3",
        endpoint_url="http://127.0.0.1:9",
        region_name="eu-central-1",
        aws_access_key_id="simulated",
        aws_secret_access_key="secret",
        config=Config(signature_version="s3v4"),
    )
    params = {
        "Bucket": "b",
        "Key": "gw-1/a b+c~é",
        "UploadId": "u",
        "PartNumber": 1,
        "ChecksumSHA256": CHECKSUM,
    }
    where = urllib.parse.urlsplit(s3.generate_presigned_url("upload_part", Params=params, ExpiresIn=900))
    query = where.query
    for name, value in changes.items():
        name = name.replace("_", "-")
        pairs = [p for p in query.split("&") if not p.startswith(f"{name}=")]
        assert len(pairs) < len(query.split("&"))
        query = "&".join([*pairs, f"{name}={urllib.parse.quote(value, safe='')}"] if value else pairs)
    headers = {"host": where.netloc, "x-amz-checksum-sha256": CHECKSUM, "content-length": "3"}
    return Head("PUT", where.path, query, headers)


def made_s(head: Head) -> float:
    date = urllib.parse.parse_qs(head.query)["X-Amz-Date"][0]
    return datetime.datetime.strptime(date, "%Y%m%dT%H%M%S%z").timestamp()


def test_what_boto3_signs_passes_until_it_expires() -> None:
    head = signed()
    VERIFIER.verify(head, made_s(head))
    VERIFIER.verify(head, made_s(head) + 899)
    for now_s, before_s, what in (
        (made_s(head) + 900, 0.0, "Request has expired"),
        (made_s(head) + 1, made_s(head), "Request has expired"),
        (made_s(head) - 901, 0.0, "not yet valid"),
    ):
        with pytest.raises(S3Error, match=what):
            VERIFIER.verify(head, now_s, none_before_s=before_s)


@pytest.mark.parametrize(
    ("changes", "what"),
    [
        ({"X_Amz_Signature": "0" * 64}, "SignatureDoesNotMatch"),
        ({"X_Amz_Expires": "901"}, "SignatureDoesNotMatch"),
        ({"X_Amz_Expires": "604801"}, "X-Amz-Expires must be"),
        ({"X_Amz_Expires": ""}, "X-Amz-Expires must be"),
        ({"X_Amz_Date": "yesterday"}, "X-Amz-Date must be"),
        ({"X_Amz_Date": ""}, "needs X-Amz-Date"),
        ({"X_Amz_Algorithm": "AWS4-HMAC-MD5"}, "only supports AWS4-HMAC-SHA256"),
        ({"X_Amz_Credential": "simulated/20200101/eu-central-1/s3/aws4_request"}, "scope is"),
        ({"X_Amz_Credential": "mallory/20200101/eu-central-1/s3/aws4_request"}, "InvalidAccessKeyId"),
        ({"X_Amz_SignedHeaders": "x-amz-checksum-sha256"}, "host must be signed"),
        ({"X_Amz_SignedHeaders": "host"}, "not signed: x-amz-checksum-sha256"),
        ({"X_Amz_SignedHeaders": "host;x-amz-checksum-sha256;x-amz-acl"}, "x-amz-acl is not in the request"),
    ],
)
def test_a_changed_query_is_refused(changes: dict[str, str], what: str) -> None:
    now_s = made_s(signed())
    with pytest.raises(S3Error, match=what):
        VERIFIER.verify(signed(**changes), now_s)


def test_a_changed_head_is_refused() -> None:
    head = signed()
    checksum = {**head.headers, "x-amz-checksum-sha256": CHECKSUM.lower()}
    for changed in (
        Head("GET", head.path, head.query, head.headers),
        Head("PUT", head.path.replace("gw-1", "gw-2"), head.query, head.headers),
        Head("PUT", head.path, head.query, checksum),
        Head("PUT", head.path, head.query, {**head.headers, "host": "elsewhere:80"}),
        Head("PUT", head.path, f"{head.query}&versionId=1", head.headers),
    ):
        with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
            VERIFIER.verify(changed, made_s(head))
    with pytest.raises(S3Error, match="SignatureDoesNotMatch"):
        Verifier("simulated", "another", "eu-central-1").verify(head, made_s(head))


@pytest.mark.parametrize("authorization", ["", "Basic eDp5", "AWS4-HMAC-SHA256 Credential=x"])
def test_what_is_not_signed_is_denied(authorization: str) -> None:
    headers = {"host": "127.0.0.1", "authorization": authorization}
    with pytest.raises(S3Error, match="AccessDenied"):
        VERIFIER.verify(Head("GET", "/b/k", "", headers), 0.0)
