"""Stands for S3 in the benchmark of files: takes parts and throws them away, and lists their URLs.

It hashes nothing, so that it is not what is waited for; its CPU time is nobody's.
"""

from __future__ import annotations

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BUFFER_BYTES = 4 * 1024**2
SIGNED = "X-Amz-SignedHeaders=host%3Bx-amz-checksum-sha256"


class Handler(BaseHTTPRequestHandler):
    """`PUT` anything; `GET /list/{parts}`."""

    protocol_version = "HTTP/1.1"
    server: ThreadingHTTPServer
    disable_nagle_algorithm = True

    def do_PUT(self) -> None:
        left = int(self.headers["Content-Length"])
        buffer = memoryview(bytearray(BUFFER_BYTES))
        while left and (got := self.rfile.readinto1(buffer[: min(left, BUFFER_BYTES)])):
            left -= got
        self._answer(b"")

    def do_GET(self) -> None:
        parts = int(self.path.rpartition("/")[2])
        base = f"http://127.0.0.1:{self.server.server_port}/part?{SIGNED}&partNumber="
        urls = {str(number): f"{base}{number}" for number in range(1, parts + 1)}
        self._answer(json.dumps({"upload_id": "u-1", "done": [], "urls": urls}).encode())

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""

    def _answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()
