"""What the nucleus took, as acknowledgements, and where envelopes of each mode go."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from headgate.model import Envelope, EnvelopeId
from headgate.uplink.acks import MAX_EPOCHS, covers
from headgate.uplink.handed import HandedOver, topic_of


@given(st.permutations(list(range(1, 30))), st.integers(1, 29))
def test_all_that_was_taken_is_covered_and_nothing_else(seqs: list[int], count: int) -> None:
    handed = HandedOver()
    for seq in seqs[:count]:
        ack = handed.note(EnvelopeId("gw", "live", 7, seq))
    assert {s for s in range(40) if s and covers(ack, EnvelopeId("gw", "live", 7, s))} == set(seqs[:count])
    assert not covers(ack, EnvelopeId("gw", "live", 8, seqs[0]))


def test_ranges_join_and_old_epochs_are_forgotten() -> None:
    handed = HandedOver()
    for seq in (5, 3, 4):
        ack = handed.note(EnvelopeId("gw", "live", 0, seq))
    assert ack.received == ((3, 5),)
    for epoch in range(1, MAX_EPOCHS + 1):
        handed.note(EnvelopeId("gw", "live", epoch, 1))
    assert handed.note(EnvelopeId("gw", "live", 0, 9)).received == ((9, 9),)


def test_topics() -> None:
    live = Envelope(EnvelopeId("gw", "live", 1, 1), 1, b"{}", 1, live=True)
    reading = json.dumps({"series": "meter-a/x"}).encode()
    plain = Envelope(EnvelopeId("gw", "plain", 1, 1), 1, reading, 1, live=True)
    assert topic_of("gw", live, "handed_over") == "$aws/rules/hg_ingest_v1/hg/v1/gw/up/live/json"
    compact = Envelope(EnvelopeId("gw", "live", 1, 2), 3, b"HG", 1, live=True)
    assert topic_of("gw", compact, "handed_over") == "$aws/rules/hg_ingest_v1/hg/v1/gw/up/live/compact"
    assert topic_of("gw", live, "plain") == "hg/v1/gw/up/live/json"
    assert topic_of("gw", plain, "acknowledged") == "hg/v1/gw/up/plain/meter-a/x"
