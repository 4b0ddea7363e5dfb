"""Responses that profiles' sources publish, decoded by our codec with the profiles' forms."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import pytest
from pymodbus.framer import FramerRTU
from pymodbus.pdu.register_message import ReadHoldingRegistersRequest, ReadInputRegistersRequest

from headgate.modbus.checks import FUNCTION_CODES, data_bytes, read_reply
from headgate.modbus.codec import Field, make_decoder
from headgate.modbus.config import parse_mapping
from headgate.modbus.framing import RtuFramer
from headgate.modbus.profiles import load, names
from headgate.modbus.tags import Tag

REQUESTS = {"holding": ReadHoldingRegistersRequest, "input": ReadInputRegistersRequest}
TCP = {"kind": "tcp", "host": "h"}
CHECKS: list[tuple[str, dict[str, Any]]] = [
    (name, check) for name in names() if load(name)["checks"] != "none" for check in load(name)["checks"]
]
ASKED = [(name, check) for name, check in CHECKS if "request" in check]


def named(value: str | dict[str, Any]) -> str:
    """How a case is called: its profile, and where the source has it."""
    return value if isinstance(value, str) else f"{value['table']}{value['address']}-{value['place'][:24]}"


def tags_of(name: str) -> dict[str, Tag]:
    config = parse_mapping({"devices": [{"name": "m", "transport": TCP, "profile": name}]})
    return {tag.name: tag for device in config.devices for group in device.groups for tag in group.tags}


def registers_of(check: dict[str, Any]) -> Sequence[int]:
    """As a poll would have them: the frame found on the line, its checksum proved, its PDU taken apart."""
    table = check["table"]
    if "data" in check:
        data = bytes.fromhex(check["data"])
        return read_reply(bytes((FUNCTION_CODES[table], len(data))) + data, table, len(data) // 2)
    frame = bytes.fromhex(check["response"])
    count = frame[2] // 2
    framer = RtuFramer()
    framer.expect(frame[0], FUNCTION_CODES[table], data_bytes(table, count))
    used, unit, _, pdu = framer.decode(frame)
    assert (used, unit) == (len(frame), frame[0]), "no sound RTU frame"
    return read_reply(pdu, table, count)


def agrees(tag: Tag, value: Any, printed: Any) -> bool:
    """Whether a value is what is in print; a float within its last digit: sources round or cut."""
    if tag.form.register_type.family != "float" or not isinstance(value, float):
        return bool(value == printed)
    digits = -int(Decimal(str(printed)).as_tuple().exponent)
    return abs(value - float(printed)) < float(10.0**-digits)


@pytest.mark.parametrize(("name", "check"), CHECKS, ids=named)
def test_a_published_response_has_the_published_values(name: str, check: dict[str, Any]) -> None:
    assert check["source"] in [source["title"] for source in load(name)["sources"]]
    registers = registers_of(check)
    tags = tags_of(name)
    wanted = [tags[tag] for tag in check["values"]]
    assert {tag.table for tag in wanted} == {check["table"]}
    fields = [Field(tag.address - check["address"], tag.form) for tag in wanted]
    assert all(0 <= field.offset <= len(registers) - field.form.count for field in fields)
    values, _ = make_decoder(fields, len(registers))(registers)
    printed = check["values"].values()
    wrong = [
        f"{tag.name} is {value}, in print {text}"
        for tag, value, text in zip(wanted, values, printed, strict=True)
        if not agrees(tag, value, text)
    ]
    assert wrong == []


@pytest.mark.parametrize(("name", "check"), ASKED, ids=named)
def test_a_published_request_is_the_one_that_we_would_send(name: str, check: dict[str, Any]) -> None:
    frame = bytes.fromhex(check["request"])
    request = REQUESTS[check["table"]](address=check["address"], count=int.from_bytes(frame[4:6], "big"))
    body = bytes((frame[0], request.function_code)) + request.encode()
    assert frame == body + FramerRTU.compute_CRC(body).to_bytes(2, "big")
