"""What the simulated cloud counts, kept in `counters.json` for whoever checks or watches a run."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

METERING_UNIT_BYTES: Final = 5 * 1024  # AWS IoT Core pricing: messages are metered in 5 KB steps


@dataclass(slots=True)
class Counters:
    """All counts are since the start."""

    received: int = 0  # messages that the rule selected
    received_bytes: int = 0  # payload and topic, as published (with a Basic Ingest prefix)
    metered_units: int = 0
    largest_bytes: int = 0
    batches: int = 0  # invocations of the handler
    records: int = 0  # messages in them
    redeliveries: int = 0  # messages that came from the queue again
    failed: int = 0  # messages that the handler asked for again
    acks_sent: int = 0
    acks_dropped: int = 0

    def meter(self, topic: str, payload: bytes) -> None:
        size_bytes = len(topic.encode()) + len(payload)
        self.received += 1
        self.received_bytes += size_bytes
        self.metered_units += -(-size_bytes // METERING_UNIT_BYTES)
        self.largest_bytes = max(self.largest_bytes, size_bytes)

    def as_dict(self) -> dict[str, int]:
        return dataclasses.asdict(self)


def write_json(path: Path, value: object) -> None:
    """Atomically: a reader sees the old text or the new, whole."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(json.dumps(value, indent=1) + "\n")
    new.replace(path)
