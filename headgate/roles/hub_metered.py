"""What a metered link has carried today is kept in state.db, with whatever is made durable anyway."""

from __future__ import annotations

from headgate.store.store import Store
from headgate.uplink.meter import Meter

DAY, BYTES = "metered_day", "metered_bytes"


def meter_of(store: Store) -> Meter:
    """A Meter that goes on counting. What the last seconds before a crash carried is missing."""
    numbers = store.state.numbers()
    return Meter(day=numbers.get(DAY, 0), used_bytes=numbers.get(BYTES, 0))


def keep_count(store: Store, meter: Meter) -> None:
    """Have the count written with the next transaction."""
    store.remember({DAY: meter.day, BYTES: meter.used_bytes})
