"""The IPC server: the Unix socket, who is connected, and how many may be."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

from gateway_sim.nucleus.connection import Connection, Counters
from gateway_sim.nucleus.errors import InputError
from gateway_sim.nucleus.services import Services

log = logging.getLogger("nucleus.ipc")
MAX_SOCKET_PATH_BYTES = 107  # sun_path less its closing zero


class IpcServer:
    """Serves components until closed."""

    def __init__(self, path: Path, services: Services) -> None:
        if len(str(path).encode()) > MAX_SOCKET_PATH_BYTES:
            raise InputError(
                path,
                "",
                f"socket path of {len(str(path).encode())} B; Linux takes {MAX_SOCKET_PATH_BYTES} B",
                "choose a shorter --root",
            )
        self.path = path
        self._services = services
        self._connections: set[Connection] = set()
        self._server: asyncio.Server | None = None
        self.counters = Counters()

    async def start(self) -> None:
        """Listen; a socket left by a nucleus that was killed is replaced."""
        self.path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._accept, self.path)
        self.path.chmod(0o666)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        limit = self._services.profile.max_connections
        if limit is not None and len(self._connections) >= limit:
            log.warning("refusing a connection: there are %d already", limit)
            writer.close()
            return
        connection = Connection(reader, writer, self._services, self.counters)
        self._connections.add(connection)
        try:
            await connection.serve()
        except asyncio.CancelledError:
            connection.abort()
        except Exception:  # the role's boundary: one client's trouble must not end the nucleus
            log.exception("connection of %s failed", connection.component)
            connection.abort()
        finally:
            self._connections.discard(connection)

    def disconnect(self, token: str) -> None:
        """Drop the connections made with a token that is no longer good."""
        for connection in [one for one in self._connections if one.token == token]:
            connection.abort()

    async def close(self) -> None:
        """Stop listening, drop everyone, remove the socket."""
        if self._server is not None:
            self._server.close()
            for connection in list(self._connections):
                connection.abort()
            await self._server.wait_closed()
        self.path.unlink(missing_ok=True)
