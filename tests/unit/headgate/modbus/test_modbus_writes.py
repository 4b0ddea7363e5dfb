"""Writes: refused unless allowed, exact, once, read back; and what is said where it is not known."""

from __future__ import annotations

from typing import Any

import pytest

from headgate.driver import Refused, Reply
from headgate.modbus.client import ExceptionReply, NoReply
from tests.support.modbus_memory import REPLY_MS, WriteWorld, coil, tag


def rows(reply: Reply) -> list[dict[str, Any]]:
    assert reply.result is not None
    found: list[dict[str, Any]] = reply.result["writes"]
    return found


async def refused(world: WriteWorld, *values: tuple[str, Any]) -> tuple[str, str]:
    """The code and text of a refusal; nothing at all went on the wire for it."""
    async with world.running():
        with pytest.raises(Refused) as caught:
            await world.write(*values)
        assert world.bus.wire == []
    return caught.value.code, str(caught.value)


@pytest.mark.parametrize(
    ("wanted", "value", "function", "address", "cells"),
    [
        (coil(), True, 5, 3, (1,)),
        (coil(write={"allow": True, "multiple": True}), True, 15, 3, (1,)),
        (tag(), 7, 6, 10, (7,)),
        (tag(write={"allow": True, "multiple": True}), 7, 16, 10, (7,)),
        (tag(kind="float32", order="cdab"), 230.5, 16, 10, (0x8000, 0x4366)),
        (tag(kind="int16", decimals=1), -12.5, 6, 10, (0xFF83,)),
        (tag(kind="bit", bit=4), True, 22, 10, (0x10,)),
        (tag(kind="uint8_high"), 0xAB, 22, 10, (0xAB00,)),
        (tag(kind="uint64"), 2**63 + 1, 16, 10, (0x8000, 0, 0, 1)),
        (tag(kind="string", length=3), "abc", 16, 10, (0x6162, 0x6300, 0)),
        (tag(values={0: "off", 5: "on"}), "on", 6, 10, (5,)),
    ],
)
async def test_a_value_goes_by_its_function_and_is_read_back(
    wanted: dict[str, Any], value: object, function: int, address: int, cells: tuple[int, ...]
) -> None:
    world = WriteWorld(wanted)
    name = wanted["name"]
    async with world.running():
        reply = await world.write((name, value))
        assert (reply.status, reply.code) == ("ok", "ok")
        (row,) = rows(reply)
        assert (row["series"], row["outcome"], row["value"]) == (f"m/{name}", "verified", value)
        reads = f"read {wanted['table']}"
        assert [what for what, _, _ in world.bus.wire] == [reads, f"write {function}", reads]
        assert world.bus.wire[1][1:] == (address, cells)
        assert abs(row["t"] - world.clock.utc_ms()) < 10 * REPLY_MS


async def test_old_values_are_told_and_neighbours_stay() -> None:
    world = WriteWorld(tag("low", "bit", bit=0), tag("n", "int16", 11, decimals=1, unit="°C"))
    world.bus.cells = {("holding", 10): 0xA5A4, ("holding", 11): 215}
    async with world.running():
        reply = await world.write(("low", True), ("n", 19.5))
        assert [(row["old"], row["value"], row["unit"]) for row in rows(reply)] == [
            (False, True, ""),
            (21.5, 19.5, "°C"),
        ]
        assert world.bus.cells == {("holding", 10): 0xA5A5, ("holding", 11): 195}


@pytest.mark.parametrize(
    ("wanted", "value", "code", "said"),
    [
        (tag(write={"allow": False}), 1, "writes_off", "m/x may not be written"),
        ({"name": "x", "table": "holding", "address": 1, "type": "uint16"}, 1, "writes_off", "m/x may not"),
        (
            tag(write={"allow": True, "min": 5, "max": 30}),
            31,
            "out_of_range",
            "m/x: 31 is out of range (5",
        ),
        (tag(write={"allow": True, "min": 5}), 4, "out_of_range", "4 is out of range (5 to any)"),
        (tag(write={"allow": True, "min": 5, "max": 30}), float("nan"), "out_of_range", "nan"),
        (tag(), 65_536, "bad_value", "65536 does not fit type uint16"),
        (tag(), 1.5, "bad_value", "lies between 1 and 2"),
        (tag(), True, "bad_value", "no number"),
        (tag(not_available=0xFFFF), 0xFFFF, "bad_value", "there is no value"),
        (tag(kind="string", length=1), "abc", "bad_value", "3 B"),
        (coil("x"), 2, "bad_value", "neither true nor false"),
    ],
)
async def test_what_may_not_or_cannot_be_is_refused_before_anything_is_sent(
    wanted: dict[str, Any], value: object, code: str, said: str
) -> None:
    found, text = await refused(WriteWorld(wanted), ("x", value))
    assert found == code
    assert said in text


async def test_of_several_values_one_that_is_refused_keeps_all_from_being_written() -> None:
    world = WriteWorld(tag("a"), tag("b", address=11, write={"allow": True, "max": 5}))
    assert await refused(world, ("a", 1), ("b", 6)) == (
        "out_of_range",
        "write: m/b: 6 is out of range (any to 5)",
    )


@pytest.mark.parametrize(
    ("args", "said"),
    [
        ({}, "takes values"),
        ({"values": []}, "1 to 16"),
        ({"values": [{"series": "m/x", "value": 1}] * 17}, "1 to 16"),
        ({"values": [{"series": "m/x", "value": 1}] * 2}, "twice"),
        ({"values": [{"series": "m/x", "value": None}]}, "is not series and value"),
        ({"values": [{"series": "m/x", "value": 1, "force": True}]}, "is not series and value"),
        ({"values": [{"series": "m/x", "value": 1}], "more": 1}, "nothing else"),
        ({"values": [{"series": "m/nothing", "value": 1}]}, "there is no series 'm/nothing'"),
        ({"values": [{"series": "else/x", "value": 1}]}, "there is no series 'else/x'"),
    ],
)
async def test_arguments_that_are_none_are_refused_by_name(args: dict[str, Any], said: str) -> None:
    world = WriteWorld(tag())
    async with world.running():
        with pytest.raises(Refused, match=said):
            await world.call(args)
        assert world.bus.wire == []


async def test_a_clamped_value_says_what_was_asked() -> None:
    world = WriteWorld(tag(write={"allow": True, "min": 5, "max": 30, "out_of_range": "clamp"}))
    async with world.running():
        reply = await world.write(("x", 99))
        (row,) = rows(reply)
        assert (row["value"], row["asked"], row["outcome"]) == (30, 99, "verified")
        assert world.bus.cells["holding", 10] == 30


async def test_a_write_that_was_done_but_not_confirmed_is_seen_by_reading_back() -> None:
    world = WriteWorld(tag(), retries=3)
    world.bus.lost = 1
    async with world.running():
        reply = await world.write(("x", 7))
        assert (reply.status, rows(reply)[0]["outcome"]) == ("ok", "verified")
        assert world.bus.written() == ["write 6"]


async def test_a_write_whose_end_is_not_known_says_so_and_is_never_sent_twice() -> None:
    world = WriteWorld(tag(), retries=3)
    world.bus.dropped = 1
    async with world.running():
        reply = await world.write(("x", 7))
        assert (reply.status, reply.code) == ("failed", "unknown")
        (row,) = rows(reply)
        assert (row["outcome"], row["found"]) == ("unknown", 0)
        assert "not known" in row["error"]
        assert world.bus.written() == ["write 6"]


async def test_a_device_that_confirms_and_keeps_its_value_is_a_mismatch() -> None:
    world = WriteWorld(tag("a"), tag("b", address=11))
    world.bus.slow_ms = None
    async with world.running():
        reply = await world.write(("a", 7), ("b", 1))
        assert (reply.status, reply.code) == ("failed", "not_verified")
        first, second = rows(reply)
        assert (first["outcome"], first["found"], first["old"]) == ("mismatch", 0, 0)
        assert second["outcome"] == "not_written"
        assert world.bus.written() == ["write 6"]  # after a failure, nothing more


@pytest.mark.parametrize("slow_ms", [50, 400])
async def test_a_device_that_takes_a_value_over_late_is_looked_at_again(slow_ms: int) -> None:
    world = WriteWorld(tag())
    world.bus.slow_ms = slow_ms
    async with world.running():
        reply = await world.write(("x", 7))
        assert rows(reply)[0]["outcome"] == "verified"


async def test_without_verifying_a_confirmation_is_enough() -> None:
    world = WriteWorld(tag(write={"allow": True, "verify": False}))
    world.bus.slow_ms = None
    async with world.running():
        reply = await world.write(("x", 7))
        assert (reply.status, rows(reply)[0]["outcome"]) == ("ok", "written")
        assert [what for what, _, _ in world.bus.wire] == ["read holding", "write 6"]


@pytest.mark.parametrize(
    ("wanted", "function", "said"),
    [
        (tag("x"), 6, "multiple: true"),
        (coil("x"), 5, "multiple: true"),
        (tag("x", "bit", bit=1), 22, "it does no mask writes"),
    ],
)
async def test_a_refusal_by_the_device_names_the_way_out(
    wanted: dict[str, Any], function: int, said: str
) -> None:
    world = WriteWorld(wanted)
    world.bus.refused = {function: ExceptionReply(1)}
    async with world.running():
        reply = await world.write(("x", True if function != 6 else 1))
        assert (reply.status, reply.code) == ("failed", "device_refused")
        (row,) = rows(reply)
        assert row["outcome"] == "not_written"
        assert said in row["error"]
        assert world.bus.cells == {}


async def test_exception_5_means_that_it_may_be_done_yet() -> None:
    world = WriteWorld(tag())
    world.bus.refused = {6: ExceptionReply(5)}
    async with world.running():
        reply = await world.write(("x", 7))
        assert (reply.code, rows(reply)[0]["outcome"]) == ("unknown", "unknown")


async def test_what_cannot_be_reached_or_read_before_is_not_written() -> None:
    world = WriteWorld(tag())
    async with world.running():
        world.bus.unreadable = NoReply("no reply")
        reply = await world.write(("x", 7))
        assert (reply.code, rows(reply)[0]["outcome"]) == ("offline", "not_written")
        assert world.bus.written() == []


async def test_with_no_time_left_nothing_is_written() -> None:
    world = WriteWorld(tag())
    async with world.running():
        reply = await world.write(("x", 7), within_ms=5)
        assert (reply.status, rows(reply)[0]["outcome"]) == ("failed", "not_written")
        assert world.bus.written() == []


async def test_a_write_goes_before_polls_that_are_due() -> None:
    tags = [tag(f"t{i}", address=100 * i) for i in range(20)]
    world = WriteWorld(*tags, interval_s=0.05, max_gap=0)
    async with world.running():
        await world.clock.advance(1_000)
        world.bus.wire.clear()
        await world.write(("t3", 9))
        start = next(i for i, (_, address, _) in enumerate(world.bus.wire) if address == 300)
        at = next(i for i, (what, _, _) in enumerate(world.bus.wire) if what == "write 6")
        assert at - start <= 3  # the old value, then the write: a poll in flight and one in between at most
