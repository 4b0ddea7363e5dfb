from __future__ import annotations

import pytest

from headgate.errors import Reject
from headgate.model import Series
from headgate.window.config import parse_mapping
from headgate.window.definition import Definition
from headgate.window.part import Rule


def test_the_first_rule_that_matches_holds_and_says_no_more_than_it_must() -> None:
    config = parse_mapping(
        {
            "length_s": "60",
            "lateness_s": 2.5,
            "statistics": ["sum"],
            "hold_s": 5,
            "series": [
                {"match": "m-*/energy", "counter": {"wrap": 65_536}, "percentiles": [99.9, "50"]},
                {"match": ["m-1/*", "x/y"], "skip": True},
                {"match": "m-*/*", "length_s": 20, "step_s": 5, "statistics": [], "counter": True},
            ],
        }
    )
    assert config.lateness_ms == 2_500
    wanted = {name: config.define(Series(name)) for name in ("m-1/energy", "m-1/u", "m-2/u", "pump/u")}
    plain = Definition(60_000, 60_000, Rule(5_000), frozenset({"sum"}))
    assert wanted == {
        "m-1/energy": (Definition(60_000, 60_000, Rule(5_000, 65_536), frozenset({"sum"}), (0.5, 0.999)),),
        "m-1/u": (),
        "m-2/u": (Definition(20_000, 5_000, Rule(5_000, 0)),),
        "pump/u": (plain,),
    }


def test_every_fault_is_named_with_its_path() -> None:
    with pytest.raises(Reject) as refused:
        parse_mapping(
            {
                "length_s": 10,
                "step_s": 3,
                "statistics": ["sum", "median"],
                "percentiles": [101, "x"],
                "series": [
                    {"length_s": 7_200},
                    {"match": "no-slash"},
                    {"match": "a/b", "counter": {"wrap": 1}, "hold": 3},
                ],
            }
        )
    assert {problem.path for problem in refused.value.problems} == {
        "step_s",
        "statistics[1]",
        "percentiles[0]",
        "percentiles[1]",
        "series[0].match",
        "series[0].length_s",
        "series[1].match",
        "series[2].counter.wrap",
        "series[2].hold",
    }
