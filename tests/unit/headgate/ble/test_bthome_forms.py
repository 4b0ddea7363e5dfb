"""What is read by the form of former packets is what is read object by object."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from headgate.ble.decoders.bthome import decode_objects
from headgate.ble.decoders.bthome_forms import MAX_FORMS, Forms
from headgate.ble.decoders.bthome_objects import NUMBERS
from headgate.ble.decoders.quantity import Packet
from headgate.errors import Reject

KNOWN = st.sampled_from(sorted(NUMBERS))
ANY_ID = st.one_of(KNOWN, KNOWN, KNOWN, st.sampled_from([0x3A, 0x53, 0xEE]))


@st.composite
def packets(draw: st.DrawFn) -> list[bytes]:
    """Several of each of a few rows of objects, some of them cut or of objects that are no numbers."""
    rows = draw(st.lists(st.lists(ANY_ID, min_size=1, max_size=5), min_size=1, max_size=4))
    found = []
    for ids in draw(st.lists(st.sampled_from(rows), max_size=20)):
        sizes = [NUMBERS[number].size_bytes if number in NUMBERS else 2 for number in ids]
        content = [draw(st.binary(min_size=size, max_size=size)) for size in sizes]
        whole = b"".join(bytes([number]) + data for number, data in zip(ids, content, strict=True))
        found.append(whole[: len(whole) - draw(st.sampled_from([0, 0, 0, 1]))])
    return found


def _outcome(forms: Forms | None, data: bytes, at: int) -> Packet | str:
    try:
        return decode_objects(data, at, 7) if forms is None else forms.decode(data, at, 7)
    except Reject as error:
        return str(error)


@given(packets(), st.integers(0, 2))
def test_a_form_says_what_the_objects_say(sent: list[bytes], at: int) -> None:
    forms = Forms(decode_objects)
    for data in (bytes(at) + each for each in sent):
        assert _outcome(forms, data, at) == _outcome(None, data, at)


def test_a_form_is_learnt_once_and_the_last_ones_are_kept() -> None:
    read: list[bytes] = []

    def slowly(data: bytes, at: int, counter: int | None) -> Packet:
        read.append(data)
        return decode_objects(data, at, counter)

    forms = Forms(slowly)
    bytes_of_one = [number for number, each in NUMBERS.items() if each == (each.tag, 1, False, 1)]
    kinds = [bytes([number, 1]) for number in bytes_of_one[: MAX_FORMS + 1]]
    for kind in (*kinds, *kinds[1:]):
        forms.decode(kind, 0, None)
    assert read == kinds
    forms.decode(kinds[0], 0, None)
    assert read == [*kinds, kinds[0]]
