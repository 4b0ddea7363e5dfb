"""Fetches arguments that are too large for the way down, from a URL that the request names."""

from __future__ import annotations

import hashlib
import http.client
import ipaddress
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import IO, Any
from urllib.parse import urlsplit

from headgate.driver import Refused
from headgate.errors import Retry
from headgate.requests.model import MAX_ARGS_BYTES, parse_args
from headgate.threads import in_thread

TIMEOUT_S = 20.0
"""Of a connection that says nothing; the whole is bounded by the request's deadline."""


async def fetch_args(uri: str, sha256: str) -> Mapping[str, Any]:
    """The arguments at `uri`. Raises Refused (not allowed, too large, other content) or Retry (not now)."""
    check_uri(uri)
    data = await in_thread(lambda _: _read(uri), "fetch arguments", end_s=0)
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        raise Refused("bad_request", f"args_uri: its SHA-256 is {found}, args_sha256 wants {sha256}")
    return parse_args(data, "args_uri")


def check_uri(uri: str) -> None:
    """Raise Refused unless `uri` is https, or http to this machine itself."""
    try:
        parts = urlsplit(uri)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise Refused("bad_request", f"args_uri is no URL: {error}") from error
    if uri != uri.strip() or any(ord(letter) <= 32 or ord(letter) > 126 for letter in uri):
        raise Refused("bad_request", "args_uri: a URL is printable ASCII without spaces")
    if not host or not (parts.scheme == "https" or (parts.scheme == "http" and _is_loopback(host))):
        raise Refused("bad_request", "args_uri: an https URL is needed")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows a redirect only to where a request could have pointed itself."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        try:
            check_uri(newurl)
        except Refused:
            fp.close()  # it holds the connection
            raise
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _read(uri: str) -> bytes:
    opener = urllib.request.build_opener(_SafeRedirects)
    try:
        with opener.open(uri, timeout=TIMEOUT_S) as answer:
            data: bytes = answer.read(MAX_ARGS_BYTES + 1)
    except urllib.error.HTTPError as error:
        with error:
            if error.code >= 500:
                raise Retry(f"args_uri: the server answered {error.code}") from error
            raise Refused("bad_request", f"args_uri: the server answered {error.code}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        # Never with the URL itself: whoever reads a log or a reply must not get to sign in with it.
        raise Retry(f"args_uri cannot be fetched: {type(error).__name__}") from error
    if len(data) > MAX_ARGS_BYTES:
        raise Refused("bad_request", f"args_uri: more than {MAX_ARGS_BYTES} B")
    return data
