"""Reading configuration: every fault at once, with its path; scalars as either nucleus delivers them."""

from __future__ import annotations

import pytest

from headgate.config.reader import Problems, Section
from headgate.errors import Reject


def section_of(**values: object) -> tuple[Section, Problems]:
    problems = Problems("site.yaml")
    return Section(values, "modbus", problems), problems


def test_scalars_are_read_as_either_nucleus_delivers_them() -> None:
    section, problems = section_of(a="10", b=10.0, c="true", d="0.5", e=2)
    assert section.integer("a", low=0, high=99) == 10
    assert section.integer("b", low=0, high=99) == 10
    assert section.boolean("c") is True
    assert section.number("d") == 0.5
    assert section.number("e") == 2
    problems.reject_if_any()


def test_all_faults_are_told_at_once_with_their_paths() -> None:
    section, problems = section_of(
        unit=900, type="uin16", host=5, intervall_s=1, timeout_s="soon", on="maybe", devices={}
    )
    section.integer("unit", low=0, high=247)
    section.choice("type", ["uint16", "uint32", "uint64"])
    section.text("host")
    section.number("timeout_s", 1.0)
    section.number("interval_s", 1.0)
    section.boolean("on", False)
    section.sections("devices")
    section.text("name")
    section.close()
    with pytest.raises(Reject) as refused:
        problems.reject_if_any()
    assert str(refused.value).splitlines() == [
        "site.yaml: 8 problems, nothing was applied",
        "  modbus.unit: 900 is out of range (0 to 247)",
        "  modbus.type: unknown 'uin16' (did you mean 'uint16'? known are uint16, uint32, uint64)",
        "  modbus.host: expected text, found a number (5)",
        "  modbus.timeout_s: expected a number, found text ('soon')",
        "  modbus.on: expected true or false, found text ('maybe')",
        "  modbus.devices: expected a list, found a mapping",
        "  modbus.name: is missing",
        "  modbus.intervall_s: unknown key (did you mean 'interval_s'?)",
    ]


def test_optional_keys_are_asked_for_together() -> None:
    problems = Problems("x")
    section = Section({"a": 1, "b": None, "c": 2}, "top", problems)
    assert section.present(["a", "b", "d"]) == {"a"}
    section.close()
    assert [problem.path for problem in problems.found] == ["top.c"]


def test_stand_ins_have_the_right_type_so_that_reading_goes_on() -> None:
    section, problems = section_of(unit="x", devices=[{"name": 1}, 7])
    assert section.integer("unit", low=1, high=247) == 1
    names = [device.text("name") for device in section.sections("devices")]
    assert names == ["", ""]
    assert [str(problem).partition(":")[0] for problem in problems.found] == [
        "modbus.unit",
        "modbus.devices[1]",
        "modbus.devices[0].name",
        "modbus.devices[1].name",
    ]


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "1e999"])
def test_a_number_must_be_finite(value: object) -> None:
    section, problems = section_of(interval_s=value)
    assert section.number("interval_s", 1.0, low=0.01, high=60) == 1.0
    assert "out of range (0.01 to 60)" in str(problems.found[0])
