"""A record of local messages, for tests that must know what was on the bus without asking the product."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from gateway_sim.nucleus.jsonvalue import Object

HEAD_CHARS = 160
"""So much of a message's base64 is kept: 120 B, enough for any header of docs/wire.md."""


class Tap:
    """One JSON line per message: `t_ms`, `component`, `topic`, and its first bytes in hex as `head`."""

    def __init__(self, path: Path | None) -> None:
        self._file = path.open("a", buffering=1) if path else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file:
            self._file.close()

    def record(self, component: str, topic: str, event: Object) -> None:
        """Note a message that is about to be delivered; only binary ones have a `head`."""
        if self._file is None:
            return
        head = b""
        binary = event.get("binaryMessage")
        if isinstance(binary, dict):
            head = base64.b64decode(str(binary["message"])[:HEAD_CHARS])
        row = {
            "t_ms": time.time_ns() // 1_000_000,
            "component": component,
            "topic": topic,
            "head": head.hex(),
        }
        self._file.write(json.dumps(row) + "\n")
