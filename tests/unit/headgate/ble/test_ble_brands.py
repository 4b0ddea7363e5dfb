"""Brands by the packages that others maintain: the same interface, and what is told where one is missing."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from headgate.ble.config import parse_mapping
from headgate.ble.decoders import brands
from headgate.errors import Reject

ADDRESS = "A4:C1:38:AA:BB:CC"


def test_a_missing_package_is_told_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = brands.Brand("govee", "govee-ble", "no_such_package_ble", "Parser")
    monkeypatch.setitem(brands.BRANDS, "govee", absent)
    device = {"name": "d", "address": ADDRESS, "profile": "govee"}
    with pytest.raises(Reject) as refused:
        parse_mapping({"devices": [device]})
    (problem,) = refused.value.problems
    assert problem.path == "ble.devices[0].profile"
    assert problem.hint == "install govee-ble: pip install 'headgate[govee]'"
    with pytest.raises(Reject, match=r"install govee-ble: pip install 'headgate\[govee\]'"):
        brands.make_maker(absent)(ADDRESS, None)


def test_each_brand_is_an_extra_of_the_package() -> None:
    project = tomllib.loads((Path(__file__).resolve().parents[4] / "pyproject.toml").read_text("utf-8"))
    extras = project["project"]["optional-dependencies"]
    assert {name: brand.package for name, brand in brands.BRANDS.items()} == {
        name: each[0].partition("~=")[0] for name, each in extras.items()
    }
