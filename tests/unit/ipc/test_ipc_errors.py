"""The nucleus's errors become errors that say what to do and name operation and target."""

from __future__ import annotations

import json

import pytest

from headgate.errors import Reject, Retry
from headgate.ipc.errors import (
    InvalidToken,
    NotFound,
    NucleusReject,
    NucleusRetry,
    StaleUpdate,
    Unauthorized,
    from_error,
)
from headgate.ipc.limits import CLASSIC, LITE, limits_for
from headgate.ipc.session import Backoff

CLASSIC_BODY = json.dumps({"_service": "s", "_message": "m1", "_errorCode": "c", "message": "m2"}).encode()
LITE_BODY = json.dumps({"_message": "m1", "_errorCode": "c"}).encode()


@pytest.mark.parametrize(
    ("shape", "kind"),
    [
        ("ServiceError", NucleusRetry),
        ("ConflictError", NucleusRetry),
        ("UnauthorizedError", Unauthorized),
        ("InvalidArgumentsError", NucleusReject),
        ("ResourceNotFoundError", NotFound),
        ("ComponentNotFoundError", NotFound),
        ("FailedUpdateConditionCheckError", StaleUpdate),
        ("InvalidTokenError", InvalidToken),
        ("SomethingNewError", NucleusReject),
    ],
)
def test_kinds(shape: str, kind: type[Exception]) -> None:
    error = from_error("GetConfiguration", "a/b", shape, b"{}")
    assert type(error) is kind
    assert isinstance(error, Retry if kind is NucleusRetry else Reject)
    assert getattr(error, "shape", None) == shape
    assert "GetConfiguration 'a/b'" in str(error)


def test_a_refused_publish_names_what_the_recipe_lacks() -> None:
    text = str(from_error("PublishToIoTCore", "x/y", "UnauthorizedError", LITE_BODY))
    assert text == (
        "PublishToIoTCore 'x/y' is not allowed (UnauthorizedError): accessControl of this component lacks "
        "operation aws.greengrass#PublishToIoTCore on this resource under aws.greengrass.ipc.mqttproxy "
        "(nucleus: m1)"
    )


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (CLASSIC_BODY, "(nucleus: m2)"),
        (LITE_BODY, "(nucleus: m1)"),
        (b"{}", "for now with ServiceError"),
        (b"[]", "for now with ServiceError"),
        (b"not json", "(nucleus: not json)"),
        (b"\xff", "(nucleus: \ufffd)"),
        (b'{"message": 3}', "for now with ServiceError"),
        (b"[" * 100_000, "(nucleus: [["),
    ],
)
def test_bodies_of_both_nuclei_and_of_none(body: bytes, said: str) -> None:
    assert said in str(from_error("PublishToTopic", "t", "ServiceError", body))


def test_no_model_type_is_an_unknown_operation() -> None:
    assert "does not know the operation" in str(from_error("New", "", "", b""))


def test_limits_go_by_the_sockets_name_and_are_small_when_in_doubt() -> None:
    assert limits_for("/greengrass/v2/ipc.socket") is CLASSIC
    assert limits_for("/var/lib/greengrass/gg-ipc.socket") is LITE
    assert limits_for("./other") is LITE
    assert limits_for("./other", "classic") is CLASSIC
    assert limits_for("ipc.socket", "lite") is LITE


def test_backoff_doubles_up_to_its_bound_and_is_jittered() -> None:
    backoff = Backoff(first_s=0.25, most_s=10.0)
    assert [backoff.delay_s(n, 0.0) for n in range(7)] == [0.125, 0.25, 0.5, 1.0, 2.0, 4.0, 5.0]
    assert backoff.delay_s(10_000, 0.5) == 7.5
