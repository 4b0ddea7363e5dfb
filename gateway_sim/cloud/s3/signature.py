"""AWS Signature Version 4 as S3 checks it: signed again with botocore from what arrived, and compared.

Pure: the request's head in, S3Error out. What the body must be is checked where the body is read.
"""

from __future__ import annotations

import datetime
import hmac
import re
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from gateway_sim.cloud.s3.errors import S3Error

# Amazon S3 API Reference, "Authenticating Requests: Using Query Parameters" and "RequestTimeTooSkewed".
MAX_EXPIRES_S: Final = 7 * 24 * 3600
MAX_SKEW_S: Final = 15 * 60
ALGORITHM: Final = "AWS4-HMAC-SHA256"
UNSIGNED: Final = "UNSIGNED-PAYLOAD"
_TIME: Final = "%Y%m%dT%H%M%SZ"
_AUTHORIZATION: Final = re.compile(
    ALGORITHM + r" +Credential=(?P<credential>[^,\s]+), *SignedHeaders=(?P<headers>[^,\s]+),"
    r" *Signature=(?P<signature>[0-9a-f]{64})"
)


@dataclass(frozen=True, slots=True)
class Head:
    """A request's head as it arrived: path and query still quoted, header names in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class _Claim:
    """What a request says about its own signature."""

    credential: str
    time: str
    signed: tuple[str, ...]
    signature: str
    query: str  # what is signed: without X-Amz-Signature


@dataclass(frozen=True, slots=True)
class Verifier:
    """Knows the one key pair and the region; `verify` raises S3Error or lets a request pass."""

    access_key: str
    secret_key: str
    region: str

    def verify(self, head: Head, now_s: float, *, none_before_s: float = 0.0) -> None:
        """`none_before_s`: pre-signed URLs made until then count as expired."""
        presigned = "X-Amz-Signature=" in head.query
        claim = _from_query(head) if presigned else _from_header(head)
        time_s = _seconds(claim.time)
        self._check_scope(claim)
        if time_s > now_s + MAX_SKEW_S:
            raise S3Error("AccessDenied", "Request is not yet valid")
        if presigned:
            _check_expiry(head, time_s, now_s, none_before_s)
        elif time_s < now_s - MAX_SKEW_S:
            raise S3Error(
                "RequestTimeTooSkewed", "The difference between the request time and now is too large"
            )
        _check_headers(head, claim, presigned=presigned)
        wanted = self._sign(head, claim, presigned=presigned)
        if not hmac.compare_digest(wanted, claim.signature):
            raise S3Error(
                "SignatureDoesNotMatch", "The signature we calculated does not match the one provided"
            )

    def _check_scope(self, claim: _Claim) -> None:
        access_key, _, scope = claim.credential.partition("/")
        if access_key != self.access_key:
            raise S3Error("InvalidAccessKeyId", f"{access_key[:64]!r} is no known access key")
        wanted = f"{claim.time[:8]}/{self.region}/s3/aws4_request"
        if scope != wanted:
            raise S3Error("AccessDenied", f"the credential's scope is {scope[:128]!r}, not {wanted!r}")

    def _sign(self, head: Head, claim: _Claim, *, presigned: bool) -> str:
        kind = S3SigV4QueryAuth if presigned else S3SigV4Auth
        auth: Any = kind(Credentials(self.access_key, self.secret_key), "s3", self.region)
        url = f"http://{head.headers['host']}{head.path}" + (f"?{claim.query}" if claim.query else "")
        request: Any = AWSRequest(head.method, url)
        for name in claim.signed:
            request.headers[name] = head.headers[name]
        request.context["timestamp"] = claim.time
        text = auth.string_to_sign(request, auth.canonical_request(request))
        return str(auth.signature(text, request))


def _from_query(head: Head) -> _Claim:
    found = dict(urllib.parse.parse_qsl(head.query, keep_blank_values=True))
    try:
        claim = _Claim(
            credential=found["X-Amz-Credential"],
            time=found["X-Amz-Date"],
            signed=tuple(found["X-Amz-SignedHeaders"].split(";")),
            signature=found["X-Amz-Signature"],
            query="&".join(p for p in head.query.split("&") if not p.startswith("X-Amz-Signature=")),
        )
        algorithm = found["X-Amz-Algorithm"]
    except KeyError as error:
        raise S3Error("AccessDenied", f"a pre-signed URL needs {error.args[0]}") from None
    if algorithm != ALGORITHM:
        raise S3Error("InvalidArgument", f"X-Amz-Algorithm only supports {ALGORITHM}")
    return claim


def _from_header(head: Head) -> _Claim:
    match = _AUTHORIZATION.fullmatch(head.headers.get("authorization", ""))
    if match is None:
        raise S3Error("AccessDenied", "Access Denied (the request is not signed)")
    if "x-amz-content-sha256" not in head.headers:
        raise S3Error("InvalidRequest", "Missing required header for this request: x-amz-content-sha256")
    signed = tuple(match["headers"].split(";"))
    return _Claim(
        match["credential"], head.headers.get("x-amz-date", ""), signed, match["signature"], head.query
    )


def _seconds(time: str) -> float:
    try:
        return datetime.datetime.strptime(time, _TIME).replace(tzinfo=datetime.UTC).timestamp()
    except ValueError:
        raise S3Error("AccessDenied", f"X-Amz-Date must be in the format {_TIME}") from None


def _check_expiry(head: Head, time_s: float, now_s: float, none_before_s: float) -> None:
    expires = urllib.parse.parse_qs(head.query).get("X-Amz-Expires", [""])[0]
    if not expires.isdecimal() or not 0 < int(expires) <= MAX_EXPIRES_S:
        raise S3Error("AccessDenied", f"X-Amz-Expires must be from 1 to {MAX_EXPIRES_S}")
    if now_s >= time_s + int(expires) or time_s <= none_before_s:
        raise S3Error("AccessDenied", "Request has expired")


def _check_headers(head: Head, claim: _Claim, *, presigned: bool) -> None:
    """Every signed header is there, and no x-amz-* header came along unsigned."""
    if "host" not in claim.signed:
        raise S3Error("AccessDenied", "the header host must be signed")
    for name in claim.signed:
        if name not in head.headers:
            raise S3Error("SignatureDoesNotMatch", f"the signed header {name[:64]} is not in the request")
    for name in head.headers:
        if name.startswith("x-amz-") and name not in claim.signed:
            raise S3Error(
                "AccessDenied", f"There were headers present in the request which were not signed: {name}"
            )
    if presigned and "authorization" in head.headers:
        raise S3Error("InvalidArgument", "Only one auth mechanism allowed")
