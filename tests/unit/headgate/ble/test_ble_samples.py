"""From packets to frames: scale, doubts, what is not available, what is not wanted."""

from __future__ import annotations

from headgate.ble.config import parse_mapping
from headgate.ble.decoders.quantity import Packet
from headgate.ble.samples import Framer, Sample
from headgate.model import Frame, Quality

ADDRESS = "A4:C1:38:10:00:01"
GOOD, UNCERTAIN, BAD = int(Quality.GOOD), int(Quality.UNCERTAIN), int(Quality.BAD_VALUE)


def framer(*tags: str) -> Framer:
    device = {"name": "d", "address": ADDRESS, "profile": "bthome", "measurements": list(tags)}
    (parsed,) = parse_mapping({"devices": [device]}).devices
    return Framer(parsed, [10 + i for i in range(len(parsed.tags))])


def frame(packet: Packet, *tags: str) -> Frame | None:
    return framer(*tags).frame(packet, 5, -61)


def test_values_are_scaled_and_good_needs_no_quality() -> None:
    packet = Packet.of({"packet_id": 1, "temperature": 2506, "motion": 1, "text": "a", "battery": 97})
    assert frame(packet, "temperature", "motion", "text") == Frame(
        5, (10, 11, 12, 13), [1, 25.06, True, "a"], ()
    )


def test_what_cannot_be_true_is_uncertain_and_what_is_not_there_is_bad() -> None:
    packet = Packet.of({"humidity": 10_001, "temperature": None, "battery": 100, "motion": 2})
    assert frame(packet, "humidity", "temperature", "battery", "motion") == Frame(
        5, (11, 12, 13, 14), [100.01, None, 100, True], [UNCERTAIN, BAD, GOOD, UNCERTAIN]
    )


def test_a_doubt_of_the_packet_holds_for_all_and_one_of_a_tag_for_it_alone() -> None:
    raw = {"temperature": 1, "battery": None, "button": "0x07"}
    tags = ("temperature", "battery", "button")
    doubted = frame(Packet.of(raw, doubt="why"), *tags)
    assert doubted is not None
    assert doubted.quality == [UNCERTAIN, BAD, UNCERTAIN]
    of_one = frame(Packet.of(raw, doubtful=["button"]), *tags)
    assert of_one is not None
    assert of_one.quality == [GOOD, BAD, UNCERTAIN]


def test_a_packet_without_a_wanted_tag_gives_nothing_and_no_rssi() -> None:
    assert frame(Packet.of({"temperature": 1}), "humidity", "rssi") is None
    found = frame(Packet.of({"temperature": 1}), "temperature", "rssi")
    assert found == Frame(5, (11, 12), [0.01, -61], ())


def test_the_last_sample_of_each_tag_is_kept() -> None:
    kept = framer("temperature", "humidity")
    kept.frame(Packet.of({"temperature": 1}), 5, 0)
    kept.frame(Packet.of({"humidity": 1}), 9, 0)
    assert kept.last("temperature") == Sample(0.01, GOOD, 5)
    assert kept.last("humidity") == Sample(0.01, GOOD, 9)
    assert kept.last("packet_id") is None
