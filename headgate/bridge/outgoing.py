"""Batches on their way to the hub: sent in order, kept until acknowledged, bounded; pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Set
from dataclasses import dataclass, field

from headgate.batch import decode, wire_key, with_oldest_seq


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of what a bridge keeps and sends, and when it sends again.

    `window`: batches sent and not acknowledged; below a subscription's queue in the hub. `resend_ms`: time
    without progress after which all is sent again. `rewind_hold_ms`: time after going back in which further
    asking is taken for an echo of the same loss, and followed only once the time is over.
    """

    kept_bytes: int = 4 << 20
    window: int = 64
    resend_ms: int = 5_000
    rewind_hold_ms: int = 300


@dataclass(slots=True)
class _Run:
    """The batches of one start of the bridge: consecutive seqs, `cursor` is the next to send."""

    run_id: int
    cursor: int = 1
    sent_to: int = 0
    wires: deque[bytes] = field(default_factory=deque)
    oldest: int = 1

    def rewind(self, seq: int) -> None:
        self.cursor = min(self.cursor, max(seq, self.oldest))

    def pop(self) -> bytes:
        wire = self.wires.popleft()
        self.oldest += 1
        self.cursor = max(self.cursor, self.oldest)
        return wire


class Outgoing:
    """Runs in order, each sent only once the one before it is acknowledged; the last is this start's own.

    Past `kept_bytes` the oldest batches are shed; their samples are counted in `take_dropped`.
    """

    def __init__(self, run_id: int, limits: Limits | None = None) -> None:
        self.limits = limits or Limits()
        self.size_bytes = 0
        self.shed_batches = 0
        self.resends = 0
        self._dropped = 0
        self._runs: deque[_Run] = deque([_Run(run_id)])
        self._progress_ms = 0
        self._rewound_ms: int | None = None
        self._asked: int | None = None

    def restore(self, wires: Iterable[bytes]) -> None:
        """Take over batches of former runs, in order, to be sent first. Raises Reject for no batch."""
        for wire in wires:
            key = wire_key(wire)
            run = self._runs[-2] if len(self._runs) > 1 else None
            if run is None or run.run_id != key.run_id or key.seq != run.oldest + len(run.wires):
                run = _Run(key.run_id, cursor=key.seq, sent_to=key.seq - 1, oldest=key.seq)
                self._runs.insert(len(self._runs) - 1, run)
            self._keep(run, wire)

    def add(self, wire: bytes) -> None:
        """Queue the next batch of this run; its seq follows the last one's."""
        self._keep(self._runs[-1], wire)

    def take_dropped(self) -> int:
        """Samples shed since the last call, for the next batch to tell the hub."""
        dropped, self._dropped = self._dropped, 0
        return dropped

    def next(self, now_ms: int) -> bytes | None:
        """The next batch to send now, counted as sent; None when there is none or the window is full."""
        self._look_at_the_clock(now_ms)
        run = self._front()
        if run.cursor >= run.oldest + min(len(run.wires), self.limits.window):
            return None
        if run.cursor == run.oldest:
            self._progress_ms = now_ms
        wire = run.wires[run.cursor - run.oldest]
        if run.cursor <= run.sent_to:
            self.resends += 1
        run.sent_to = max(run.sent_to, run.cursor)
        run.cursor += 1
        return with_oldest_seq(wire, run.oldest)

    def acknowledge(self, run_id: int, up_to: int, now_ms: int) -> None:
        """Forget the batches of a run up to a seq; what was never sent cannot be acknowledged."""
        run = self._front()
        if run.run_id != run_id:
            return
        last = min(up_to, run.sent_to)
        while run.wires and run.oldest <= last:
            self.size_bytes -= len(run.pop())
            self._progress_ms = now_ms
        if self._asked is not None and self._asked <= last:
            self._asked = None
        self._front()

    def rewind(self, run_id: int, up_to: int, now_ms: int) -> None:
        """The hub lost its place: go back to the batch after `up_to`, once per loss (see Limits)."""
        run = self._front()
        if run.run_id != run_id or up_to + 1 >= run.cursor:
            return
        if self._rewound_ms is not None and now_ms < self._rewound_ms + self.limits.rewind_hold_ms:
            self._asked = up_to + 1
            return
        self._rewound_ms, self._asked = now_ms, None
        run.rewind(up_to + 1)

    def resend(self, now_ms: int) -> None:
        """Send everything again that is not acknowledged: the hub is new, or the bus was away."""
        run = self._front()
        run.rewind(run.oldest)
        self._progress_ms, self._asked = now_ms, None

    def deadline_ms(self) -> int | None:
        """When `next` may have something although nothing was added or acknowledged."""
        times = []
        run = self._front()
        if run.cursor > run.oldest:
            times.append(self._progress_ms + self.limits.resend_ms)
        if self._asked is not None and self._rewound_ms is not None:
            times.append(self._rewound_ms + self.limits.rewind_hold_ms)
        return min(times, default=None)

    def wires(self) -> Iterator[bytes]:
        """Everything not acknowledged, in order."""
        for run in self._runs:
            yield from run.wires

    def oldest_seq(self) -> int:
        """The oldest batch that this start still holds; the next one's where it holds none."""
        return self._runs[-1].oldest

    def dictionaries(self) -> Set[bytes]:
        """The tables that the kept batches refer to."""
        return {wire_key(wire).dictionary for wire in self.wires()}

    @property
    def restored(self) -> bool:
        """Whether batches of former runs are still kept."""
        return self._front() is not self._runs[-1]

    def __len__(self) -> int:
        return sum(len(run.wires) for run in self._runs)

    def _front(self) -> _Run:
        while len(self._runs) > 1 and not self._runs[0].wires:
            self._runs.popleft()
            self._asked = self._rewound_ms = None
        return self._runs[0]

    def _keep(self, run: _Run, wire: bytes) -> None:
        run.wires.append(wire)
        self.size_bytes += len(wire)
        while self.size_bytes > self.limits.kept_bytes and len(self) > 1:
            shed = self._front().pop()
            self.size_bytes -= len(shed)
            self.shed_batches += 1
            batch = decode(shed)
            self._dropped += batch.dropped + sum(len(frame.series) for frame in batch.frames)

    def _look_at_the_clock(self, now_ms: int) -> None:
        run = self._front()
        asked, rewound_ms = self._asked, self._rewound_ms
        held = rewound_ms is not None and now_ms < rewound_ms + self.limits.rewind_hold_ms
        if asked is not None and not held:
            self._rewound_ms, self._asked = now_ms, None
            run.rewind(asked)
        if run.cursor > run.oldest and now_ms >= self._progress_ms + self.limits.resend_ms:
            self.resend(now_ms)
