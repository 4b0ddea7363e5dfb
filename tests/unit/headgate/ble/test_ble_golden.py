"""Published packets (tests/golden/ble): whole, cut, and changed."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from headgate.ble.decoders.bthome_objects import BASE, NUMBERS
from headgate.ble.decoders.bthome_special import SPECIAL
from headgate.ble.decoders.registry import PROFILES
from headgate.errors import Reject
from headgate.model import Quality
from tests.support.ble_golden import Case, cases, samples, samples_or_none

CASES = list(cases())
MUTATIONS = 200


def name(case: Case) -> str:
    return f"{case.profile}-{case.data.hex()}"


@pytest.mark.parametrize("case", CASES, ids=name)
def test_a_published_packet_gives_its_published_values(case: Case) -> None:
    found = samples(case)
    assert found is not None
    assert {tag: sample.value for tag, sample in found.items()} == case.values
    assert {tag for tag, each in found.items() if each.quality == Quality.UNCERTAIN} == case.uncertain
    nothing = {tag for tag, value in case.values.items() if value is None}
    assert {tag for tag, each in found.items() if each.quality == Quality.BAD_VALUE} == nothing


@pytest.mark.parametrize("case", CASES, ids=name)
def test_what_is_left_of_a_cut_packet_is_true_or_not_good(case: Case) -> None:
    for length in range(len(case.data)):
        for tag, sample in samples_or_none(case, case.data[:length]).items():
            if sample.quality == Quality.GOOD:
                assert (tag, sample.value) in case.values.items()


@pytest.mark.parametrize("case", [each for each in CASES if each.key], ids=name)
def test_a_sealed_packet_that_was_changed_or_cut_anywhere_gives_nothing(case: Case) -> None:
    for length in range(len(case.data)):
        assert samples_or_none(case, case.data[:length]) == {}
    for bit in range(8 * len(case.data)):
        changed = bytearray(case.data)
        changed[bit // 8] ^= 1 << bit % 8
        assert samples_or_none(case, bytes(changed)) == {}


@pytest.mark.parametrize("case", [each for each in CASES if not each.key], ids=name)
def test_a_changed_packet_gives_only_what_its_format_can_say(case: Case, seed: int) -> None:
    chance = random.Random(f"{seed} {case.data.hex()}")
    quantities = PROFILES[case.profile].quantities
    for _ in range(MUTATIONS):
        data = bytearray(case.data)
        data[chance.randrange(len(data))] = chance.randrange(256)
        for tag, sample in samples_or_none(case, bytes(data)).items():
            quantity = quantities[tag]
            value = sample.value
            if sample.quality == Quality.GOOD and isinstance(value, float | int):
                assert quantity.low is None or value * 10**quantity.decimals >= quantity.low - 1e-6
                assert quantity.high is None or value * 10**quantity.decimals <= quantity.high + 1e-6


def test_a_wrong_key_and_a_missing_key_are_told_as_such() -> None:
    sealed = [each for each in CASES if each.key]
    assert {each.profile for each in sealed} == {"bthome", "bthome1", "atc"}
    for case in sealed:
        make_decode = PROFILES[case.profile].make_decode
        assert make_decode is not None
        for key, words in ((bytes(16), "does not open with this bind_key"), (None, "give the .* bind_key")):
            with pytest.raises(Reject, match=words):
                make_decode(case.address, key)(case.advert())


def test_the_published_table_of_bthome_is_known_whole() -> None:
    published = {case.data[1] for case in CASES if case.profile == "bthome" and not case.key}
    assert published == {*NUMBERS, *SPECIAL}
    assert {each.tag for each in NUMBERS.values()} | {tag for tag, _, _ in SPECIAL.values()} == set(BASE)


def test_a_beacon_s_other_frames_are_left_alone() -> None:
    for case in CASES:
        if case.profile in ("eddystone_tlm", "ibeacon", "ruuvi5", "ruuvi3"):
            assert samples(case, b"\x10" + case.data[1:]) is None


def test_a_packet_of_another_sender_is_uncertain() -> None:
    for case in CASES:
        if case.profile in ("ruuvi5", "atc") and not case.key and b"\xff" * 6 not in case.data:
            other = replace(case, address="00:00:00:00:00:01")
            found = samples(other)
            assert found
            assert {sample.quality for sample in found.values()} == {Quality.UNCERTAIN}
