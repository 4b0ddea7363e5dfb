"""Where the bytes go: a Unix socket, or on Windows a named pipe (not tried yet)."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import TypeVar

from headgate.errors import Fatal, Retry

ProtocolT = TypeVar("ProtocolT", bound=asyncio.Protocol)

MAX_UNIX_PATH_BYTES = 107
"""Linux's sockaddr_un holds 108 B with the closing NUL."""


if sys.platform == "win32":

    async def open_transport(path: str, make: Callable[[], ProtocolT]) -> ProtocolT:
        """Connect a protocol to the nucleus's named pipe. Raises Fatal."""
        raise Fatal(f"nucleus at {path!r}: named pipes were not tried yet; run this gateway on Linux")

else:

    async def open_transport(path: str, make: Callable[[], ProtocolT]) -> ProtocolT:
        """Connect a protocol to the nucleus's socket. Raises Retry (nobody there) or Fatal (no path)."""
        if len(path.encode()) > MAX_UNIX_PATH_BYTES:
            raise Fatal(f"nucleus at {path!r}: a socket path has at most {MAX_UNIX_PATH_BYTES} B")
        try:
            _, protocol = await asyncio.get_running_loop().create_unix_connection(make, path)
        except OSError as error:
            raise Retry(f"nucleus at {path!r}: {error.strerror or error}") from None
        return protocol
