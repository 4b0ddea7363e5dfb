"""Whose turn it is: alarms, schemas, live, context, reports, backlog; each of the last three with a share."""

from __future__ import annotations

from collections.abc import Mapping

from headgate.uplink.lanes import Lane

SHARES: Mapping[Lane, float] = {Lane.CONTEXT: 0.5, Lane.REPORTS: 0.25, Lane.BACKLOG: 0.25}
"""Envelopes of a lane for one of each lane before it, while both wait."""


class Turns:
    """An earlier lane's envelope earns the later ones a part of a turn. Alarms wait for nobody and earn
    nobody a turn.
    """

    def __init__(self, shares: Mapping[Lane, float] | None = None) -> None:
        self._shares = dict(SHARES) | dict(shares or {})
        self._earned: dict[Lane, float] = dict.fromkeys(self._shares, 0.0)

    def order(self) -> list[Lane]:
        """All lanes, the one whose turn it is first."""
        earned = [lane for lane in self._shares if self._earned[lane] >= 1]
        return [Lane.ALARMS, *sorted(earned), *(lane for lane in Lane if lane and lane not in earned)]

    def took(self, lane: Lane) -> None:
        """One of that lane was sent."""
        if lane in self._earned:
            self._earned[lane] = max(0.0, self._earned[lane] - 1)
        if lane is not Lane.ALARMS:
            for later, share in self._shares.items():
                if later > lane:
                    self._earned[later] = min(1.0, self._earned[later] + share)
