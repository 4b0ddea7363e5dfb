"""The `uplink:` section: what it means, and every fault told at once."""

from __future__ import annotations

import pytest

from headgate.errors import Reject
from headgate.uplink.config import UplinkConfig, parse_mapping
from headgate.uplink.lanes import Lane
from headgate.uplink.meter import Metered
from headgate.uplink.turns import SHARES


def test_nothing_said_is_the_defaults() -> None:
    assert parse_mapping({}) == UplinkConfig(shares=SHARES)


def test_everything_said() -> None:
    found = parse_mapping(
        {
            "publishes_per_s": "20",
            "bytes_per_s": 10_000,
            "shares": {"backlog": 0.5},
            "metered": {
                "bytes_per_day": 5_000_000,
                "windows": ["01:00-05:00", "22:30-00:15"],
                "always": ["live"],
                "bulk_share": 0.8,
            },
        }
    )
    windows = ((60, 300), (1_350, 15))
    metered = Metered(5_000_000, windows, frozenset({Lane.ALARMS, Lane.LIVE}), 0.8)
    assert found == UplinkConfig(20, 10_000, {**SHARES, Lane.BACKLOG: 0.5}, metered)


def test_every_fault_is_told() -> None:
    with pytest.raises(Reject) as caught:
        parse_mapping(
            {
                "publishes_per_s": 100,
                "bytes_per_s": "much",
                "shares": {"backlog": 2, "live": 1},
                "metered": {"bytes_per_day": 5, "windows": ["25:00-26:00"], "always": ["bulk"], "cap": 1},
            }
        )
    told = str(caught.value)
    for part in (
        "uplink: 8 problems",
        "publishes_per_s",
        "bytes_per_s",
        "shares.backlog",
        "shares.live",
        "metered.bytes_per_day",
        "'25:00-26:00' is no window",
        "metered.always",
        "metered.cap",
    ):
        assert part in told


@pytest.mark.parametrize("value", ["01:00-05:00", [1], ["00:00-01:00"] * 9])
def test_windows_are_a_short_list_of_texts(value: object) -> None:
    with pytest.raises(Reject, match="expected a list of at most 8 texts"):
        parse_mapping({"metered": {"windows": value}})
