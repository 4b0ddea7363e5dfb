"""What the nucleus's record of local messages says of batches: what is acknowledged."""

from __future__ import annotations

import json
import struct
from pathlib import Path

BATCH, ACK = "hg/v1/local/batch/", "hg/v1/local/ack/"
_KEY = struct.Struct("<3sBQQ")
"""The start of a batch: `HGB`, version, run_id, seq (docs/wire.md)."""


class Tapped:
    """Reads on from where it was; ask as often as you like."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0
        self._sent: dict[str, dict[tuple[int, int], int]] = {}
        self._run: dict[str, tuple[int, int]] = {}
        self._up_to: dict[tuple[str, int], int] = {}

    def acknowledged_ms(self, bridge: str) -> int:
        """When the newest batch went out of which the bridge's present run knows that the hub has it.

        Every sample that was acquired well before it is acknowledged; the run's beginning where none is.
        """
        self._read()
        run, began_ms = self._run[bridge]
        up_to = self._up_to.get((bridge, run), 0)
        return self._sent[bridge].get((run, up_to), began_ms)

    def _read(self) -> None:
        with self._path.open("rb") as file:
            file.seek(self._offset)
            data = file.read()
        whole = data.rfind(b"\n") + 1
        self._offset += whole
        for line in data[:whole].splitlines():
            self._take(json.loads(line))

    def _take(self, entry: dict[str, str | int]) -> None:
        topic, head, t_ms = str(entry["topic"]), bytes.fromhex(str(entry["head"])), int(entry["t_ms"])
        if topic.startswith(BATCH):
            bridge = topic.removeprefix(BATCH)
            _, _, run, seq = _KEY.unpack(head[: _KEY.size])
            if self._run.get(bridge, (0, 0))[0] != run:
                self._run[bridge] = (run, t_ms)
                self._sent[bridge] = {}
            self._sent[bridge].setdefault((run, seq), t_ms)
        elif topic.startswith(ACK):
            ack = json.loads(head)
            key = (topic.removeprefix(ACK), int(ack["run_id"], 16))
            self._up_to[key] = max(self._up_to.get(key, 0), int(ack["up_to"]))
