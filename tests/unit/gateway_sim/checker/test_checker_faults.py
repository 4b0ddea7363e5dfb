"""The checker finds every kind of fault, says it in words, and finds nothing where nothing is."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from gateway_sim.checker.arrived import Column, WindowRow, double_bits
from gateway_sim.checker.result import TelemetryResult, WindowsResult
from gateway_sim.checker.served import Poll, RegisterDecoder
from gateway_sim.checker.telemetry import Telemetry, check_telemetry, columns_of
from gateway_sim.checker.windows import check_windows, of_doubles, of_integers
from gateway_sim.devices.layout import plant_room
from gateway_sim.devices.plantfile import Device, Plant
from gateway_sim.devices.registers import encode

START_MS, END_MS = 1_763_685_600_000, 1_763_685_620_000
STEP_MS = 1000
LAYOUT = plant_room(1)[2]
BLOCK = LAYOUT.blocks[0]
TAGS = BLOCK.group.tags
WIDTH = len(TAGS)
PLANT = Plant(1, START_MS, (Device("boiler", "rtu", 7, (BLOCK.group,), path="-", baudrate=19200),))
VOLTS, FLOAT = 1, next(index for index, tag in enumerate(TAGS) if tag.type == "float32")


def served(polls: int = 20) -> list[Poll]:
    decode = RegisterDecoder(BLOCK.group)
    rows = (encode(TAGS, [n + 1, *BLOCK.sample(float(n))]) for n in range(polls))
    return [Poll(START_MS + n * STEP_MS, "boiler", "main", n + 1, decode(row)) for n, row in enumerate(rows)]


def arrived(polls: Sequence[Poll], after_ms: int = 3) -> list[Column]:
    """What a faultless gateway delivers: a column per tag, timestamps a little after the serving."""
    times = [poll.t_ms + after_ms for poll in polls]
    return [
        Column(f"boiler/{tag.name}", tag.unit, tag.decimals, times, [poll.raws[index] for poll in polls])
        for index, tag in enumerate(TAGS)
    ]


def check(polls: Sequence[Poll], columns: Sequence[Column]) -> TelemetryResult:
    return check_telemetry(PLANT, polls, columns, START_MS, END_MS)


def without(column: Column, position: int) -> Column:
    keep = [index for index in range(len(column.times)) if index != position]
    return replace(column, times=[column.times[i] for i in keep], raws=[column.raws[i] for i in keep])


def changed(columns: list[Column], index: int, **fields: object) -> list[Column]:
    return [replace(column, **fields) if at == index else column for at, column in enumerate(columns)]  # type: ignore[arg-type]  # fields are Column's


def test_a_faultless_delivery_holds() -> None:
    result = check(served(), arrived(served()))
    assert result.ok
    assert (result.served, result.arrived, result.lost, result.doubled, result.wrong) == (400, 400, 0, 0, 0)
    assert (result.missing, result.unknown, result.lost_polls) == ((), (), ())


def test_order_and_packing_do_not_matter() -> None:
    readings = [reading for column in arrived(served()) for reading in column.readings()]
    random.Random(1).shuffle(readings)
    assert check(served(), columns_of(readings)).ok


def test_nothing_served_is_not_ok() -> None:
    assert not check([], []).ok


def test_a_lost_poll() -> None:
    columns = arrived([poll for poll in served() if poll.count != 7])
    result = check(served(), columns)
    assert (result.lost, result.arrived, result.wrong) == (WIDTH, 400 - WIDTH, 0)
    assert [(lost.device, lost.count, lost.values) for lost in result.lost_polls] == [("boiler", 7, WIDTH)]
    assert result.examples["lost"][0].startswith("boiler/polls_main poll 7: served 7 at ")


def test_a_lost_value() -> None:
    columns = arrived(served())
    columns[VOLTS] = without(columns[VOLTS], 4)
    result = check(served(), columns)
    assert (result.lost, result.wrong, result.doubled) == (1, 0, 0)
    assert "boiler/flow_temperature poll 5: served" in result.examples["lost"][0]


def test_a_doubled_envelope() -> None:
    result = check(served(), arrived(served()) + arrived(served()[3:4]))
    assert (result.doubled, result.lost, result.wrong) == (WIDTH, 0, 0)
    assert result.examples["doubled"][0] == "boiler/polls_main poll 4: served once, arrived 2 times"


def test_a_poll_doubled_under_another_time() -> None:
    result = check(served(), arrived(served()) + arrived(served()[3:4], after_ms=9))
    assert (result.doubled, result.lost, result.wrong) == (WIDTH, 0, 0)


def test_two_polls_with_one_timestamp_are_told_apart() -> None:
    polls = served()
    polls[5] = replace(polls[5], t_ms=polls[4].t_ms + 30)
    columns = [
        replace(column, times=[t if at != 5 else column.times[4] for at, t in enumerate(column.times)])
        for column in arrived(polls)
    ]
    assert check(polls, columns).ok


def test_a_wrong_value() -> None:
    columns = arrived(served())
    raws = list(columns[VOLTS].raws)
    served_raw = raws[16]
    assert isinstance(served_raw, int)
    raws[16] = served_raw + 1
    result = check(served(), changed(columns, VOLTS, raws=raws))
    assert (result.wrong, result.lost, result.arrived) == (1, 0, 400)
    words = f"boiler/flow_temperature poll 17: served {served_raw}, arrived {served_raw + 1}"
    assert result.examples["wrong"] == (words,)


def test_a_float_that_differs_in_its_last_bit() -> None:
    columns = arrived(served())
    raws = [raw + 1 if isinstance(raw, int) else raw for raw in columns[FLOAT].raws]
    assert check(served(), changed(columns, FLOAT, raws=raws)).wrong == 20


@pytest.mark.parametrize(
    "field", [{"unit": "K"}, {"decimals": 2}, {"decimals": None}, {"quality": [0] * 19 + [3]}]
)
def test_wrong_unit_decimals_or_quality(field: dict[str, object]) -> None:
    result = check(served(), changed(arrived(served()), VOLTS, **field))
    assert (result.wrong, result.lost) == (1 if "quality" in field else 20, 0)
    assert "boiler/flow_temperature poll" in result.examples["wrong"][0]


@pytest.mark.parametrize(("after_ms", "wrong"), [(-51, 400), (-50, 0), (2000, 0), (2001, 400)])
def test_a_wrong_time(after_ms: int, wrong: int) -> None:
    result = check(served(), arrived(served(), after_ms))
    assert (result.wrong, result.lost) == (wrong, 0)


def test_a_missing_series() -> None:
    result = check(served(), arrived(served())[:-1])
    assert result.missing == ("boiler/trim",)
    assert (result.lost, result.ok) == (20, False)


def test_values_that_nobody_served() -> None:
    ghost = replace(served()[0], count=99, t_ms=START_MS + 500)
    ghost = replace(ghost, raws=[99, *ghost.raws[1:]])
    result = check(served(), arrived(served()) + arrived([ghost]))
    assert (result.wrong, result.lost, result.doubled) == (WIDTH, 0, 0)
    assert "polls [99] are not in the record" in result.examples["wrong"][0]
    orphan = [Column("boiler/pressure", "bar", 3, [START_MS + 500], [1])]
    result = check(served(), arrived(served()) + orphan)
    assert (result.wrong, result.unmatched, result.ok) == (0, 1, False)
    assert result.examples["unmatched"] == (
        f"boiler/pressure at {START_MS + 500}: arrived 1, but its counter did not",
    )


def test_a_mark_without_a_value_and_a_foreign_series_are_no_faults() -> None:
    mark = Column("boiler/pressure", "bar", 3, [START_MS + 500], [None], [3])
    foreign = Column("gateway/cpu", "%", 0, [START_MS], [5])
    result = check(served(), [*arrived(served()), mark, foreign])
    assert result.ok
    assert result.unknown == ("gateway/cpu",)


def test_only_the_interval_counts() -> None:
    result = check_telemetry(PLANT, served(), arrived(served()[10:]), START_MS + 10 * STEP_MS, END_MS)
    assert result.ok
    assert result.served == 10 * WIDTH


def window_rows(polls: Sequence[Poll], length_ms: int = 10_000) -> list[WindowRow]:
    """Windows of a faultless gateway that counts in doubles, in the plainest way."""
    rows = []
    for start in range(START_MS, END_MS, length_ms):
        inside = [poll for poll in polls if start <= poll.t_ms + 3 < start + length_ms]
        for index, tag in enumerate(TAGS):
            raws = [raw for poll in inside if isinstance(raw := poll.raws[index], int)]
            numbers = of_doubles(raws) if tag.decimals is None else of_integers(raws, tag.decimals)
            rows.append(WindowRow(f"boiler/{tag.name}", start, length_ms, len(raws), *numbers, unit=tag.unit))
    return rows


def judge(rows: Sequence[WindowRow]) -> WindowsResult:
    telemetry = Telemetry(PLANT)
    telemetry.serve(served())
    telemetry.arrive(arrived(served()))
    return check_windows(telemetry, rows, 10_000, START_MS, END_MS)


def test_faultless_windows_hold() -> None:
    result = judge(window_rows(served()))
    assert result.ok
    assert (result.expected, result.arrived) == (2 * WIDTH, 2 * WIDTH)


@pytest.mark.parametrize("field", ["n", "min", "max", "mean", "std", "first", "last"])
def test_each_wrong_figure_of_a_window(field: str) -> None:
    rows = window_rows(served())
    rows[VOLTS] = replace(rows[VOLTS], **{field: getattr(rows[VOLTS], field) * (1 + 3e-9) + (field == "n")})
    result = judge(rows)
    assert (result.wrong, result.lost) == (1, 0)
    assert f"boiler/flow_temperature window {START_MS}: {field} " in result.examples["wrong"][0]


def test_mean_and_std_may_be_off_by_a_rounding() -> None:
    rows = [replace(row, mean=(row.mean or 0) * (1 + 1e-13)) for row in window_rows(served())]
    assert judge(rows).ok


def test_lost_doubled_and_strange_windows() -> None:
    rows = window_rows(served())
    assert judge(rows[1:]).lost == 1
    assert judge([*rows, rows[3]]).doubled == 1
    assert judge([*rows, replace(rows[0], unit="V")]).wrong == 1
    later = replace(rows[0], start_ms=END_MS)
    assert judge([*rows, later]).ok


def test_a_window_waits_for_its_samples() -> None:
    telemetry = Telemetry(PLANT)
    telemetry.serve(served())
    telemetry.arrive(arrived(served()[:9]))
    early = check_windows(telemetry, window_rows(served()), 10_000, START_MS, END_MS)
    assert (early.unjudged, early.wrong, early.lost, early.ok) == (2 * WIDTH, 0, 0, False)
    telemetry.arrive(arrived(served()[9:]))
    assert check_windows(telemetry, window_rows(served()), 10_000, START_MS, END_MS).ok


def test_a_window_for_samples_that_were_never_taken() -> None:
    telemetry = Telemetry(PLANT)
    result = check_windows(telemetry, window_rows(served())[:1], 10_000, START_MS, END_MS)
    assert result.wrong == 1
    assert "no sample lies in it" in result.examples["wrong"][0]


def test_statistics_are_exact() -> None:
    assert of_integers([10_000_001, 10_000_003], 1) == (
        1000000.1,
        1000000.3,
        1000000.2,
        0.1,
        1000000.1,
        1000000.3,
    )
    bits = [raw for raw in double_bits([1.0, 2.0]) if isinstance(raw, int)]
    assert of_doubles(bits) == (1.0, 2.0, 1.5, 0.5, 1.0, 2.0)
