"""The nucleus contract for configuration, state and tokens."""

from __future__ import annotations

import time

import pytest

from tests.contract.nucleus.adapters.api import Refused, Session
from tests.contract.nucleus.conftest import Target


def test_the_whole_configuration(session: Session, target: Target) -> None:
    value = session.get_configuration([])
    assert value["text"] == "three"
    assert value["number"] == ("3" if target.lite else 3)
    assert value["switch"] == ("true" if target.lite else True)
    assert value["list"] == (["1", "two"] if target.lite else [1, "two"])
    assert "accessControl" in value


def test_a_leaf_comes_under_its_name(session: Session, target: Target) -> None:
    assert session.get_configuration(["nested", "leaf"]) == {"leaf": "1.5" if target.lite else 1.5}


def test_an_object(session: Session, target: Target) -> None:
    assert session.get_configuration(["nested"], target.component)["other"] == "kept"


@pytest.mark.parametrize(("path", "component"), [(["absent"], None), ([], "no.such.Component")])
def test_what_is_not_there(session: Session, path: list[str], component: str | None) -> None:
    with pytest.raises(Refused, match="ResourceNotFoundError"):
        session.get_configuration(path, component)


def test_an_update_merges_and_is_told(session: Session, name: str) -> None:
    heard = session.watch_configuration([])
    session.update_configuration([], {"made": {name: 1.5}}, time.time())
    event = heard.next()
    while event.payload != ["made", name]:
        event = heard.next()
    session.update_configuration(["made"], {f"{name}-2": "x"}, time.time())
    made = session.get_configuration(["made"])
    assert (made[name], made[f"{name}-2"]) == (1.5, "x")


def test_a_number_that_a_component_sets(session: Session, target: Target, name: str) -> None:
    session.update_configuration([], {"numbers": {name: 3}}, time.time())
    value = session.get_configuration(["numbers", name])[name]
    assert value == 3
    assert type(value) is (int if target.lite else float)


def test_an_older_update_changes_nothing(session: Session, target: Target, name: str) -> None:
    now = time.time()
    session.update_configuration([], {"stale": {name: "new"}}, now)
    if target.lite:
        session.update_configuration([], {"stale": {name: "old"}}, now - 60)
    else:
        with pytest.raises(Refused, match="FailedUpdateConditionCheckError"):
            session.update_configuration([], {"stale": {name: "old"}}, now - 60)
    assert session.get_configuration(["stale", name]) == {name: "new"}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ([], {"accessControl": {"aws.greengrass.ipc.pubsub": {}}}),
        (["accessControl"], {"aws.greengrass.ipc.pubsub": {}}),
    ],
)
def test_a_component_cannot_give_itself_rights(
    session: Session, path: list[str], value: dict[str, object]
) -> None:
    before = session.get_configuration(["accessControl"])
    with pytest.raises(Refused):
        session.update_configuration(path, value, time.time())
    assert session.get_configuration(["accessControl"]) == before


def test_lite_reads_nine_thousand_bytes(session: Session, target: Target, name: str) -> None:
    for part in range(2):
        session.update_configuration(["large"], {f"{name}-{part}": "x" * 4_600}, time.time())
    try:
        if target.lite:
            with pytest.raises(Refused, match="ServiceError"):
                session.get_configuration(["large"])
        else:
            assert len(session.get_configuration(["large"])) >= 2
    finally:
        for part in range(2):
            session.update_configuration(["large"], {f"{name}-{part}": "small"}, time.time())


def test_lite_holds_sixty_four_children(session: Session, target: Target, name: str) -> None:
    many = {f"k{number}": "x" for number in range(65)}
    if target.lite:
        with pytest.raises(Refused, match="ServiceError"):
            session.update_configuration(["wide", name], many, time.time())
    else:
        session.update_configuration(["wide", name], many, time.time())
        assert session.get_configuration(["wide", name]) == many


def test_state(session: Session) -> None:
    session.update_state("RUNNING")
    with pytest.raises(Refused, match="InvalidArgumentsError"):
        session.update_state("SLEEPING")


def test_tokens(session: Session, target: Target) -> None:
    assert session.validate_token(target.token)
    with pytest.raises(Refused, match="InvalidTokenError"):
        session.validate_token("not-a-token")
