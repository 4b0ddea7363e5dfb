"""The form of benchmarks: one JSON object and nothing else, or a table with the goals."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping

import pytest

from bench.form import Figure, Goal, Scenario, at_least, at_most, machine, print_table, run, show


def measured() -> Mapping[str, Figure]:
    print("noise that must not reach standard output")
    return {"pss_mb": 61.25, "samples": 12_000, "note": "quiet"}


SCENARIOS = [
    Scenario("idle", measured, {"pss_mb": at_most(120), "later_mb": at_most(60)}),
    Scenario("1k", lambda: {"rate_per_s": 10.5}, {"rate_per_s": at_least(1_000)}),
]


def test_json_is_one_object_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("gateway", ["--json"], SCENARIOS) == 0
    result = json.loads(capsys.readouterr().out)
    assert list(result) == ["bench", "machine", "scenarios"]
    assert result["bench"] == "gateway"
    assert result["machine"]["cores"] >= 1
    assert result["scenarios"] == [
        {"name": "idle", "pss_mb": 61.25, "samples": 12_000, "note": "quiet"},
        {"name": "1k", "rate_per_s": 10.5},
    ]


def test_the_parts_of_a_distribution_are_one_object(capsys: pytest.CaptureFixture[str]) -> None:
    figures: dict[str, Figure] = {"latency_ms.p50": 3.5, "reads": 2, "latency_ms.p99": 8.0}
    scenario = Scenario("read", lambda: figures, {"latency_ms.p99": at_most(300)})
    assert run("files", ["--json"], [scenario]) == 0
    (found,) = json.loads(capsys.readouterr().out)["scenarios"]
    assert found == {"name": "read", "latency_ms": {"p50": 3.5, "p99": 8.0}, "reads": 2}


def test_the_table_shows_each_figure_with_its_goal() -> None:
    out = io.StringIO()
    figures: dict[str, Mapping[str, Figure]] = {"idle": measured(), "1k": {"rate_per_s": 10.5}}
    print_table("gateway", machine(), SCENARIOS, figures, out)
    rows = [line.split("│") for line in out.getvalue().splitlines() if line.startswith("│")]
    cells = {row[2].strip(): [cell.strip() for cell in row[3:6]] for row in rows}
    assert cells["pss_mb"] == ["61.25", "≤ 120", "met"]
    assert cells["rate_per_s"] == ["10.5", "≥ 1000", "missed"]
    assert cells["later_mb"] == ["not measured", "≤ 60", ""]
    assert cells["samples"] == ["12,000", "", ""]


def test_only_the_scenarios_asked_for_are_measured(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("gateway", ["--json", "1k"], SCENARIOS) == 0
    assert [s["name"] for s in json.loads(capsys.readouterr().out)["scenarios"]] == ["1k"]


def test_an_unknown_scenario_is_told_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        run("gateway", ["idel"], SCENARIOS)
    assert stopped.value.code == 2
    assert "unknown scenario 'idel'; did you mean idle?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("goal", "value", "met"),
    [
        (at_most(5), 5, True),
        (at_most(5), 5.1, False),
        (at_least(5), 5, True),
        (at_least(5), 4, False),
        (at_least(5), None, None),
        (at_least(5), "broken", None),
    ],
)
def test_goals(goal: Goal, value: Figure, met: bool | None) -> None:
    assert goal.met(value) is met


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "not measured"), (0.123456, "0.1235"), (12345.6, "12,346"), (7, "7"), ("x", "x")],
)
def test_figures_are_shown_with_the_digits_that_matter(value: Figure, text: str) -> None:
    assert show(value) == text
