"""What a technician types: units, ranges, tags, transports; each fault says what would be right."""

from __future__ import annotations

import pytest

from headgate.commands.exits import USAGE, Usage
from headgate.errors import Reject
from headgate.modbus.commissioning import arguments
from headgate.modbus.commissioning.ranges import TableSpan, merged, read_range, read_units
from headgate.modbus.commissioning.tagspec import read_spec, read_specs
from headgate.modbus.planner import Span
from headgate.modbus.transports import Ascii, Rtu, RtuOverTcp, Tcp, Tls, Transport, Udp
from headgate.modbus.types import Scaling


def test_units_are_numbers_and_ranges() -> None:
    assert read_units("5,1-3, 2", serial=True) == [1, 2, 3, 5]
    assert read_units("0,255", serial=False) == [0, 255]


@pytest.mark.parametrize(
    ("text", "why"), [("0", "out of range"), ("1-256", "range"), ("5-1", "range"), ("a", "no unit")]
)
def test_wrong_units_are_named(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_units(text, serial=True)


def test_ranges_name_a_table_and_merge() -> None:
    assert read_range("holding:0-99") == TableSpan("holding", Span(0, 100))
    assert str(read_range("coil:7")) == "coil:7"
    ranges = [
        read_range(text) for text in ("input:5-9", "holding:10-19", "holding:0-9", "holding:5-12", "input:11")
    ]
    assert [str(each) for each in merged(ranges)] == ["holding:0-19", "input:5-9", "input:11"]


@pytest.mark.parametrize("text", ["holding", "registers:0-9", "holding:9-0", "holding:0-65536", "holding:-1"])
def test_wrong_ranges_are_named(text: str) -> None:
    with pytest.raises(ValueError, match=text):
        read_range(text)


def test_a_tag_by_table_and_address_in_an_order() -> None:
    spec = read_spec("holding:0:float32:cdab")
    assert spec.tag is not None
    assert (spec.name, str(spec.where)) == ("holding:0-1", "holding:0-1")
    assert (spec.tag.form.byte_order, spec.tag.form.word_order) == ("big", "little")


def test_a_tag_by_register_with_name_and_keys() -> None:
    spec = read_spec("power:30053:int16:scale=0.1:unit=kW")
    assert spec.tag is not None
    assert (spec.name, spec.tag.table, spec.tag.address, spec.tag.unit) == ("power", "input", 52, "kW")
    assert spec.tag.form.scaling == Scaling(1, 0, 1)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("holding:0:10", "holding:0-9"),
        ("input:7", "input:7"),
        ("coil:0:2000", "coil:0-1999"),
        ("x:40001:2", "holding:0-1"),
    ],
)
def test_registers_without_a_type(text: str, where: str) -> None:
    spec = read_spec(text)
    assert (str(spec.where), spec.tag) == (where, None)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("holding:0:flot32", "did you mean 'float32'"),
        ("holding:0:126", "too many for one read"),
        ("holding:65535:2", "too many"),
        ("holding:65535:float32", "out of range"),
        ("holding", "address"),
        ("50001:uint16", "no register's number"),
        ("holding:0:uint16:colour=red", "neither an order nor a key"),
        ("holding:0:float32:acbd", "unknown 'acbd'"),
        ("", "no register's number"),
    ],
)
def test_wrong_tags_are_named_with_the_grammar(text: str, why: str) -> None:
    with pytest.raises(Reject, match=why) as refused:
        read_spec(text)
    assert "NAME:" in str(refused.value)


def test_two_tags_of_one_name_are_refused() -> None:
    with pytest.raises(Reject, match="twice"):
        read_specs(["holding:0:uint16", "holding:0:int16"])


def options(*words: str, command: str = "scan") -> list[Transport]:
    return arguments.transports(arguments.parse([command, *words]))


def test_each_kind_of_transport() -> None:
    assert options("--tcp", "h") == [Tcp("h", 502)]
    assert options("--tcp", "[::1]:1502") == [Tcp("::1", 1502)]
    assert options("--udp", "h:1") == [Udp("h", 1)]
    assert options("--rtu-over-tcp", "h:4001") == [RtuOverTcp("h", 4001)]
    files = ("--ca", "/ca", "--cert", "/cert", "--key", "/key")
    assert options("--tls", "h", *files) == [Tls("h", 802, "/ca", "/cert", "/key", "h")]
    assert options("--serial", "/dev/x") == [Rtu("/dev/x", 19200, "N", 1)]
    assert options("--serial", "/dev/x", "--ascii") == [Ascii("/dev/x", 19200, "E", 1, 7)]


def test_a_scan_tries_each_baud_rate_with_each_parity() -> None:
    assert options("--serial", "/dev/x", "--baud", "9600,19200", "--parity", "n,E") == [
        Rtu("/dev/x", baud, parity, 1) for baud in (9600, 19200) for parity in ("N", "E")
    ]
    with pytest.raises(Usage, match="scan tries several"):
        arguments.one_transport(arguments.parse(["read", "--serial", "/dev/x", "--baud", "9600,19200"]))


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("--tcp", "h:0"), "--port: 0 is out of range"),
        (("--tcp", "a:b:c"), "HOST:PORT"),
        (("--serial", "/dev/x", "--baud", "fast"), "--baud"),
        (("--serial", "/dev/x", "--parity", "X"), "--parity"),
        (("--tls", "h"), "--ca"),
    ],
)
def test_wrong_transports_are_named(words: tuple[str, ...], why: str) -> None:
    with pytest.raises(Usage, match=why):
        options(*words)


def test_units_of_a_network_have_255_too_and_serial_ones_no_broadcast() -> None:
    assert arguments.units(arguments.parse(["scan", "--tcp", "h"]))[-1] == 255
    assert arguments.units(arguments.parse(["scan", "--serial", "/dev/x"])) == list(range(1, 248))
    with pytest.raises(Usage, match="unit ids are 1 to 255 here"):
        arguments.unit(
            arguments.parse(["read", "--serial", "/dev/x", "--unit", "0"]), Rtu("/dev/x", 9600, "N", 1)
        )


@pytest.mark.parametrize(
    "words", [(), ("scan",), ("scan", "--tcp", "h", "--udp", "h"), ("read", "--tcp", "h", "--timeout", "0")]
)
def test_words_that_do_not_parse_end_with_ex_usage(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        arguments.parse(words)
    assert ended.value.code == USAGE
    assert "usage: python -m headgate.modbus" in capsys.readouterr().err
