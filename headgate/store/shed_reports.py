"""What the cloud is told of what is gone (docs/wire.md, "What was shed"): few, each with its counts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from headgate.store.shed_rows import Candidate
from headgate.store.windows_file import Gone

MAX_DEVICES = 64
"""Reports of one file; the devices beyond it share the last."""
MAX_WHY = 300

Report = tuple[str, Mapping[str, object]]
"""Type and fields."""


def dropped(gone: Sequence[Gone], why: str) -> list[Report]:
    """Samples that are gone, by device."""
    return [("dropped", {**about, "why": why[:MAX_WHY]}) for about in _devices(gone)]


def downsampled(gone: Sequence[Gone], step_ms: int, why: str) -> list[Report]:
    """Samples of which windows are left, by device."""
    return [("downsampled", {**about, "step_ms": step_ms, "why": why[:MAX_WHY]}) for about in _devices(gone)]


def removed(file: str, size_bytes: int, why: str) -> Report:
    """A file of the state root whose samples nobody could count."""
    return "removed", {"file": file, "bytes": size_bytes, "why": why[:MAX_WHY]}


def tombstones(envelopes: Sequence[Candidate], why: str) -> list[Report]:
    """Envelopes that will never come, as ranges of seqs that follow each other."""
    runs: dict[tuple[str, str], list[list[int]]] = {}
    for one in sorted(envelopes, key=lambda one: (one.stream, one.epoch, one.seq)):
        ranges = runs.setdefault((one.stream, one.epoch), [])
        if ranges and one.seq == ranges[-1][1] + 1:
            ranges[-1][1] = one.seq
            ranges[-1][2] += one.samples
        else:
            ranges.append([one.seq, one.seq, one.samples])
    return [
        (
            "shed",
            {"stream": stream, "epoch": epoch, "first": first, "last": last, "samples": samples, "why": why},
        )
        for (stream, epoch), ranges in runs.items()
        for first, last, samples in ranges
    ]


def _devices(gone: Sequence[Gone]) -> list[dict[str, object]]:
    found: dict[str, list[int]] = {}
    for one in gone:
        device = one.series.name.partition("/")[0]
        if device not in found and len(found) >= MAX_DEVICES - 1:
            device = "*"
        known = found.setdefault(device, [one.first_ms, one.last_ms, 0])
        known[:] = [min(known[0], one.first_ms), max(known[1], one.last_ms), known[2] + one.samples]
    return [
        {"series": f"{device}/*", "from": first, "to": last, "count": count}
        for device, (first, last, count) in found.items()
    ]
