"""Arguments fetched from a real HTTP server on this machine."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from headgate.driver import Refused
from headgate.errors import Retry
from headgate.requests.claim import fetch_args
from headgate.requests.model import MAX_ARGS_BYTES

GOOD = json.dumps({"series": ["m/x"] * 1_000}).encode()
LARGE = json.dumps({"x": "y" * MAX_ARGS_BYTES}).encode()
PAGES = {
    "/good": (200, GOOD),
    "/list": (200, b"[]"),
    "/large": (200, LARGE),
    "/gone": (403, b""),
    "/busy": (503, b""),
}


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path == "/away":
            self.send_response(302)
            self.send_header("Location", "http://example.com/good")
            self.end_headers()
            return
        status, body = PAGES[self.path]
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@contextmanager
def a_server() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()
            thread.join()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def test_arguments_are_fetched_and_checked() -> None:
    with a_server() as base:
        assert await fetch_args(f"{base}/good", sha256(GOOD)) == json.loads(GOOD)
        for page, data, said in (
            ("/good", b"other", "SHA-256"),
            ("/list", b"[]", "mapping"),
            ("/large", LARGE, "more than"),
            ("/gone", b"", "403"),
            ("/away", GOOD, "https"),
        ):
            with pytest.raises(Refused, match=said) as error:
                await fetch_args(f"{base}{page}", sha256(data))
            assert base not in str(error.value)
        with pytest.raises(Retry, match="503"):
            await fetch_args(f"{base}/busy", sha256(GOOD))
    with pytest.raises(Retry, match="cannot be fetched"):
        await fetch_args(f"{base}/good", sha256(GOOD))
