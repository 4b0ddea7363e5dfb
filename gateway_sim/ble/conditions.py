"""What is wrong with the controller, the air and the devices, whichever life of the daemon looks at it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

BLUEZ_5_66, BLUEZ_5_87 = (5, 66), (5, 87)

Writes = Literal["take", "refuse", "hang", "drop", "lose", "keep"]
"""What becomes of a write: it is taken; refused; never answered and not taken; taken, or not (`lose`), and
the connection ends in place of an answer; answered as if it were taken, and the old value is kept."""


@dataclass(slots=True)
class Conditions:
    """The faults in force. Paths and names are those of stations.

    `wedged`: the kernel still scans for a daemon that was killed: discovery is refused (InProgress) until the
    power has been off. `deaf`: the controller reports nothing and says nothing of it, until the power has
    been off. `busy`: discovery is refused for as long as somebody else is at it. `absent`: names of devices
    that are out of range. `held`: paths of devices whose connection outlived its daemon: they do not send.
    `writes`: what becomes of writes.
    `passive`: the daemon has advertisement monitors. `bluez`: the version whose rules of signalling hold.
    """

    hang_reads: bool = False
    hang_connects: bool = False
    writes: Writes = "take"
    busy: bool = False
    wedged: bool = False
    deaf: bool = False
    passive: bool = True
    absent: set[str] = field(default_factory=set)
    held: set[str] = field(default_factory=set)
    bluez: tuple[int, int] = BLUEZ_5_66

    def power_off(self) -> None:
        """What a controller without power forgets."""
        self.wedged = self.deaf = False
        self.held.clear()
