"""The quick way from raws to values says what the careful one says, and leaves alone what it cannot judge."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from headgate.ble.config import Device, parse_mapping
from headgate.ble.decoders.quantity import Packet, Raw
from headgate.ble.samples import Framer

TAGS = ["temperature", "humidity", "window", "count", "text"]
NUMBERS = st.none() | st.integers(-(1 << 40), 1 << 40) | st.sampled_from([-1, 0, 1, 10_000])
RAWS = st.fixed_dictionaries({}, optional=dict.fromkeys(TAGS, NUMBERS | st.text(max_size=3)))


def device() -> Device:
    """With scaled, bounded, bool and text tags."""
    row = {"name": "d", "address": "AA:BB:CC:DD:EE:FF", "profile": "bthome", "measurements": TAGS}
    return parse_mapping({"devices": [row]}).devices[0]


DEVICE = device()


@given(RAWS, st.sampled_from(["", "why"]), st.sets(st.sampled_from(TAGS)))
def test_each_value_is_what_its_quantity_says(raws: dict[str, Raw], doubt: str, doubtful: set[str]) -> None:
    framer = Framer(DEVICE, range(len(DEVICE.tags)))
    frame = framer.frame(Packet.of(raws, doubt=doubt, doubtful=doubtful), 5, -60)
    if not raws:
        assert frame is None
        return
    assert frame is not None
    codes = frame.quality or [0] * len(frame.series)
    told = {DEVICE.tags[i]: (v, c) for i, v, c in zip(frame.series, frame.values, codes, strict=True)}
    assert told.pop("rssi", (-60, 0)) == (-60, 0)
    assert set(told) == set(raws)
    for tag, (value, code) in told.items():
        quantity, raw = DEVICE.quantity(tag), raws[tag]
        assert value == quantity.value(raw)
        assert type(value) is type(quantity.value(raw))
        doubts = bool(doubt) or tag in doubtful or quantity.doubts(raw)
        assert code == (4 if raw is None else int(doubts))


def test_no_number_is_in_doubt_where_there_are_bounds() -> None:
    assert DEVICE.quantity("humidity").doubts(math.nan)
    assert not DEVICE.quantity("count").doubts(math.nan)
