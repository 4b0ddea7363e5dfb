"""Configuration of the simulated nucleus: a deployment's order, timestamps, limits, persistence, watchers."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway_sim.nucleus.config_store import ConfigStore
from gateway_sim.nucleus.config_tree import ConfigTree, pointer_path
from gateway_sim.nucleus.errors import (
    FailedUpdateConditionCheckError,
    InputError,
    ResourceNotFoundError,
    ServiceError,
)
from gateway_sim.nucleus.jsonvalue import Object
from gateway_sim.nucleus.profiles import CLASSIC, LITE


def tree(value: Object, t_ms: int = 100) -> ConfigTree:
    return ConfigTree().merged((), value, t_ms, refuse_stale=True)


def test_a_deployment_resets_then_adds_defaults_then_merges() -> None:
    running = tree({"kept": "mine", "list": [1], "reset": {"me": 1, "not": 2}})
    defaults: Object = {"kept": "default", "list": [1, 2], "reset": {"me": "default"}, "new": {"leaf": 1}}
    after = (
        running.without(["/reset/me"])
        .with_defaults(defaults)
        .merged((), {"list": [9]}, 200, refuse_stale=False)
    )
    assert after.value() == {
        "kept": "mine", "list": [9], "reset": {"me": "default", "not": 2}, "new": {"leaf": 1}
    }  # fmt: skip
    assert running.value() == {"kept": "mine", "list": [1], "reset": {"me": 1, "not": 2}}


def test_the_empty_pointer_resets_everything() -> None:
    assert tree({"a": 1}).without([""]).with_defaults({"b": 2}).value() == {"b": 2}


def test_a_default_never_overwrites_not_even_an_array_or_false() -> None:
    running = tree({"a": [], "b": False, "c": {"d": 0}})
    assert running.with_defaults({"a": [1], "b": True, "c": {"d": 5}}).value() == running.value()


def test_stale_leaves_are_refused_or_left() -> None:
    newer = tree({"a": {"b": "new"}}, 200)
    with pytest.raises(FailedUpdateConditionCheckError):
        newer.merged((), {"a": {"b": "old"}}, 199, refuse_stale=True)
    assert newer.merged((), {"a": {"b": "old", "c": 1}}, 199, refuse_stale=False).value() == {
        "a": {"b": "new", "c": 1}
    }
    assert newer.merged(("a",), {"b": "same time"}, 200, refuse_stale=True).value(("a", "b")) == "same time"


def test_an_object_replaces_a_leaf_and_the_other_way() -> None:
    assert tree({"a": 1}).merged((), {"a": {"b": 2}}, 101, refuse_stale=True).value() == {"a": {"b": 2}}
    assert tree({"a": {"b": 2}}).merged((), {"a": 1}, 101, refuse_stale=True).value() == {"a": 1}


def test_what_changed() -> None:
    before = tree({"same": 1, "gone": 2, "other": {"x": 1}})
    after = tree({"same": 1, "other": {"x": 2}, "new": [1]})
    assert sorted(after.changed_since(before)) == [("gone",), ("new",), ("other", "x")]


def test_pointers() -> None:
    assert pointer_path("/a~1b/c~0d") == ("a/b", "c~d")
    with pytest.raises(ValueError, match="not a JSON pointer"):
        pointer_path("a/b")


@pytest.mark.parametrize(
    "value",
    [
        {f"k{n}": 1 for n in range(65)},
        {f"g{g}": {f"k{n}": 1 for n in range(60)} for g in range(5)},
    ],
)
def test_lites_limits(value: Object) -> None:
    tree(value).check(CLASSIC.config_limits)
    with pytest.raises(ServiceError):
        tree(value).check(LITE.config_limits)


def test_the_store_survives_a_restart_and_tells_watchers(tmp_path: Path) -> None:
    store, heard = ConfigStore(tmp_path, CLASSIC), list[tuple[str, tuple[str, ...]]]()
    store.replace({"c": tree({"a": {"b": 1, "list": [1, "x"]}})}, {"more": 1})
    end = store.watch("c", "c", ("a", "b"), lambda name, path: heard.append((name, path)))
    store.replace({"c": store.tree("c").merged((), {"a": {"b": 2}, "z": 1}, 300, refuse_stale=True)})
    end()
    store.replace({"c": store.tree("c").merged((), {"a": {"b": 3}}, 400, refuse_stale=True)})
    assert heard == [("c", ("a", "b"))]
    again = ConfigStore(tmp_path, CLASSIC)
    assert again.value("c") == {"a": {"b": 3, "list": [1, "x"]}, "z": 1}
    assert again.extra == {"more": 1}
    assert again.tree("c").leaves() == store.tree("c").leaves()


def test_what_is_not_there(tmp_path: Path) -> None:
    store = ConfigStore(tmp_path, CLASSIC)
    with pytest.raises(ResourceNotFoundError):
        store.value("nobody")


def test_a_spoilt_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json: not the nucleus's configuration"):
        ConfigStore(tmp_path, CLASSIC)
