"""Groups of a device that counts nothing: each fault is found by time and values alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from gateway_sim.checker.arrived import Column
from gateway_sim.checker.result import TelemetryResult
from gateway_sim.checker.served import Poll, RegisterDecoder
from gateway_sim.checker.telemetry import check_telemetry
from gateway_sim.devices.layout import plant_room
from gateway_sim.devices.plantfile import Device, Plant
from gateway_sim.devices.registers import encode

START_MS, STEP_MS, POLLS = 1_763_685_600_000, 2_000, 30
LAYOUT = next(layout for layout in plant_room(1) if layout.name == "room")
BLOCK = LAYOUT.blocks[0]
TAGS = BLOCK.group.tags
PLANT = Plant(1, START_MS, (Device("room", "rtu", 1, (BLOCK.group,), path="-", profile="xy-md02"),))


def served() -> list[Poll]:
    decode = RegisterDecoder(BLOCK.group)
    rows = (encode(TAGS, BLOCK.sample(20.0 * n)) for n in range(POLLS))
    return [
        Poll(START_MS + n * STEP_MS, "room", "measured", n + 1, decode(row)) for n, row in enumerate(rows)
    ]


def arrived(polls: Sequence[Poll], after_ms: int = 4) -> list[Column]:
    times = [poll.t_ms + after_ms for poll in polls]
    return [
        Column(f"room/{tag.name}", tag.unit, tag.decimals, times, [poll.raws[index] for poll in polls])
        for index, tag in enumerate(TAGS)
    ]


def check(polls: Sequence[Poll], columns: Sequence[Column]) -> TelemetryResult:
    return check_telemetry(PLANT, polls, columns, START_MS, START_MS + POLLS * STEP_MS)


def test_nothing_in_the_group_counts_and_a_faultless_delivery_holds() -> None:
    assert BLOCK.group.counter is None
    assert [tag.name for tag in TAGS] == ["temperature", "humidity"]
    result = check(served(), arrived(served()))
    assert result.ok
    assert (result.served, result.lost, result.doubled, result.wrong) == (2 * POLLS, 0, 0, 0)


def test_a_lost_read_and_a_lost_value() -> None:
    polls = served()
    result = check(polls, arrived([poll for poll in polls if poll.count != 7]))
    assert (result.lost, result.wrong, result.lost_polls[0].count) == (2, 0, 7)
    columns = arrived(polls)
    columns[1] = replace(columns[1], times=columns[1].times[1:], raws=columns[1].raws[1:])
    assert (check(polls, columns).lost, check(polls, columns).wrong) == (1, 0)


def test_a_doubled_envelope() -> None:
    result = check(served(), arrived(served()) + arrived(served()[4:6]))
    assert (result.doubled, result.lost) == (4, 0)


def test_a_wrong_value_and_values_of_the_read_before() -> None:
    polls, columns = served(), arrived(served())
    raws = list(columns[0].raws)
    raws[9] = 999
    assert check(polls, [replace(columns[0], raws=raws), columns[1]]).wrong == 1
    shifted = list(columns[0].raws)
    shifted[4] = shifted[3]
    assert shifted[4] != columns[0].raws[4]
    assert check(polls, [replace(columns[0], raws=shifted), columns[1]]).wrong == 1


def test_a_sample_that_nothing_was_served_for() -> None:
    polls = served()[:-4]
    late = Column("room/temperature", "°C", 1, [polls[-1].t_ms + 5_000], [240])
    result = check(polls, [*arrived(polls), late])
    assert result.wrong == 1


def test_two_reads_close_in_time_are_told_apart_by_their_values() -> None:
    polls = served()[:2]
    polls[1] = replace(polls[1], t_ms=polls[0].t_ms + 20, raws=[1, 2])
    times = [polls[0].t_ms + 22, polls[0].t_ms + 24]
    columns = [replace(column, times=times) for column in arrived(polls)]
    assert check(polls, columns).ok
