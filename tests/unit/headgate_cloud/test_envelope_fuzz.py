"""A million damaged envelopes against the decoders: their own error or a right value, and never a crash."""

from __future__ import annotations

import multiprocessing
import os
import random
import zlib
from collections import Counter

import pytest

from headgate.columns import Columns
from headgate.model import ClockState, Series, Value, Window, WindowRow
from headgate_cloud import compact, decoder
from headgate_cloud.strict import Undecodable
from tests.support import envelope_cases as cases

MILLION = 1_000_000
SHARDS = 4


def corpus() -> tuple[list[bytes], list[bytes], cases.Told]:
    """Sound envelopes of codec json and compact, of all kinds of values, and the latter's schemas."""
    table = (
        Series("m/scaled", "V", "f64", 2),
        Series("m/double"),
        Series("m/i", "", "i64"),
        Series("m/u", "", "u64"),
        Series("m/b", "", "bool"),
        Series("m/t", "", "text"),
    )
    values: list[list[Value]] = [
        [230.41, None, 230.44, 230.4],
        [float("nan"), -0.0, None, 1e300],
        [-(2**63), 2**63 - 1, None, 0],
        [2**64 - 1, 0, 1, None],
        [True, None, False, True],
        ["Ü ☃", "", None, "x" * 30],
    ]
    group = Columns(table, [1000, 1100, 1090, 1300], values, [bytes((0, 3, 1, 0)), *[None] * 5])
    rows = {table[0]: WindowRow(60, 1.25, 3.5, 2.0, 0.5, 1.25, 3.5, percentiles=((0.5, 2.0),))}
    rows[table[2]] = WindowRow(9, -4, 2**62, 2.5, 1.5, 3, 4, sum=2**70, resets=0, increase=1, rate=None)
    closed = [Window(10_000 * at, 10_000, ClockState.SYNCED, rows, revision=at % 2) for at in range(5)]
    sampled, told = cases.compact_samples([group], ClockState.SYNCED)
    windowed, more = cases.compact_windows(closed, rounded=True)
    exact, _ = cases.compact_windows(closed, rounded=False)
    plain = [
        *cases.json_samples([group], ClockState.SYNCED),
        *cases.json_windows(closed, rounded=True),
        *cases.json_windows(closed, rounded=False),
    ]
    return plain, [*sampled, *windowed, *exact], told | more


def mutated(rng: random.Random, body: bytes) -> bytes:
    """The bytes with some of them changed, cut, repeated or moved; never the same."""
    while True:
        found = bytearray(body)
        for _ in range(rng.choice((1, 1, 1, 2, 8))):
            at = rng.randrange(len(found) + 1)
            match rng.randrange(6):
                case 0 if at < len(found):
                    found[at] ^= 1 << rng.randrange(8)
                case 1 if at < len(found):
                    found[at] = rng.randrange(256)
                case 2:
                    del found[at : at + rng.randrange(1, 20)]
                case 3:
                    found[at:at] = rng.randbytes(rng.randrange(1, 9))
                case 4:
                    found[at:at] = found[at : at + rng.randrange(1, 30)]
                case _:
                    found[at:at] = rng.choice((b"-", b"9", b"null", b"[]", b"1e999", b'"', b"\xff"))
        if found != body:
            return bytes(found)


def resealed(rng: random.Random, body: bytes) -> bytes:
    """Damage below a right checksum, in the body as it was before it was deflated or anywhere."""
    start = body[:-4]
    if rng.random() < 0.7:
        at = 14 + 1 + 1 + 8  # epoch, a short seq, one schema
        packer = zlib.compressobj(1, zlib.DEFLATED, -15)
        inflated = zlib.decompress(start[at:], -15)
        start = start[:at] + packer.compress(mutated(rng, inflated)) + packer.flush()
    else:
        start = mutated(rng, start)
    return start + zlib.crc32(start).to_bytes(4, "big")


def shard(seed: str, count: int) -> Counter[str]:
    """So many damaged envelopes; any exception but the decoders' own leaves it."""
    rng = random.Random(seed)
    plain, binary, told = corpus()
    came: Counter[str] = Counter()
    for _ in range(count):
        match rng.randrange(8):
            case 0 | 1 | 2:
                came[_json(mutated(rng, rng.choice(plain)))] += 1
            case 3:
                came[_json(rng.randbytes(rng.randrange(200)))] += 1
                assert _compact(b"HG\1" + rng.randbytes(rng.randrange(200)), told) != "read"
            case 4 | 5:
                body = mutated(rng, rng.choice(binary))
                assert _compact(body, told) == "refused", body.hex()
                came["refused"] += 1
            case _:
                body = resealed(rng, rng.choice(binary))
                came[f"resealed {_compact(body, told)}"] += 1
    return came


def _json(body: bytes) -> str:
    try:
        decoder.decode(body)
    except Undecodable:
        return "refused"
    return "read"  # a digit of a plain value may change unseen: JSON has no checksum, its carriers have


def _compact(body: bytes, told: cases.Told) -> str:
    try:
        compact.decode(body, told)
    except (Undecodable, compact.UnknownSchema):
        return "refused"
    return "read"


def test_damaged_envelopes_are_refused() -> None:
    came = shard("always", 4_000)
    assert came["refused"] > 2_000
    assert came["resealed refused"] > 300


@pytest.mark.slow("envelopes")
def test_a_million_damaged_envelopes() -> None:
    seed = os.environ.get("HEADGATE_SEED", "1")
    shards = [(f"{seed}/{i}", MILLION // SHARDS) for i in range(SHARDS)]
    with multiprocessing.get_context("spawn").Pool(SHARDS) as pool:
        came = sum(pool.starmap(shard, shards), Counter())
    print(dict(came))
    assert came["refused"] > MILLION // 2
