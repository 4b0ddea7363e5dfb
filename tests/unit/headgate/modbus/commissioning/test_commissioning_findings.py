"""What is concluded and shown: plausibility, orders, redaction, the suggested site, tables, messages."""

from __future__ import annotations

import errno
import io
import os
import re
import struct
from pathlib import Path
from typing import Any

import pytest

from headgate.commands import exits
from headgate.commands.screen import Screen, table_lines
from headgate.config.site import load_document
from headgate.modbus.client import ExceptionReply, NoReply, NotConnected, WrongReply
from headgate.modbus.commissioning import failures
from headgate.modbus.commissioning.explore import Found
from headgate.modbus.commissioning.holders import holders
from headgate.modbus.commissioning.identity import Identity
from headgate.modbus.commissioning.orders import in_all_orders
from headgate.modbus.commissioning.plausible import Verdict, judge
from headgate.modbus.commissioning.ranges import read_range
from headgate.modbus.commissioning.redact import crossed_out, redact_found, redact_objects
from headgate.modbus.commissioning.report import found_rows
from headgate.modbus.commissioning.scan import FoundUnit, one_device_for_all
from headgate.modbus.commissioning.suggest import suggested_site
from headgate.modbus.commissioning.trial import Trial, device_of
from headgate.modbus.config import parse_mapping
from headgate.modbus.planner import Span
from headgate.modbus.sunspec.walk import Map
from headgate.modbus.tags import Tag
from headgate.modbus.transports import Ascii, Rtu, RtuOverTcp, Tcp, Tls, Transport, Udp
from headgate.modbus.types import Form
from tests.support.dumped_devices import text_words

LINE = Rtu("/dev/serial/by-id/usb-1", 9600, "N", 1)


def tags(**units: str) -> list[Tag]:
    return [Tag(name, "input", i, Form("float32"), unit) for i, (name, unit) in enumerate(units.items())]


METER = tags(voltage="V", current="A", power_factor="1", frequency="Hz")


def test_values_of_a_meter_are_plausible() -> None:
    assert judge(METER, [230.5, 1.2, 0.99, 50.0]) == Verdict(4, 2)
    assert judge(METER, [230.5, 1.2, 0.99, 50.0]).plausible


@pytest.mark.parametrize(
    ("values", "why"),
    [
        ([0.0, 0.0, 0.0, 0.0], "an empty memory says nothing"),
        ([230.5, 1.2, 0.99, 5.2e22], "a frequency that cannot be"),
        ([230.5, 1.2, 230.5, 50.0], "a power factor that cannot be"),
        ([230.5, 1e-41, 0.99, 50.0], "an integer read as a float"),
        ([230.5, None, None, None], "too little"),
        ([float("inf"), 1.0, 1.0, 50.0], "not finite"),
    ],
)
def test_what_is_not_plausible(values: list[float | None], why: str) -> None:
    assert not judge(METER, values).plausible, why


def test_registers_in_all_orders() -> None:
    registers = struct.unpack(">HH", struct.pack(">f", 230.5))
    found = {each.order: each.values for each in in_all_orders(registers, None)}
    assert list(found) == ["abcd", "cdab", "badc", "dcba"]
    assert found["abcd"] == {"uint32": 0x43668000, "int32": 0x43668000, "float32": 230.5}
    swapped = {each.order: each.values for each in in_all_orders(registers[::-1], Form("float32"))}
    assert swapped["cdab"] == {"float32": 230.5}
    assert [each.order for each in in_all_orders([1], None)] == ["ab", "ba"]
    assert in_all_orders([1] * 4, None)[0].order == "abcdefgh"
    assert in_all_orders([1] * 3, None) == []


def found_values(**stretches: list[int]) -> Found:
    found = Found()
    for at, values in stretches.items():
        found.add(Span(int(at[1:]), len(values)), values)
    return found


def redacted(found: Found, **how: Any) -> list[tuple[str, str]]:
    defaults: dict[str, Any] = {"asked": (), "numbers": (), "texts": (), "strings": True}
    return [(str(at), why) for at, why in redact_found("holding", found, **{**defaults, **how})]


def test_texts_are_crossed_out_and_numbers_stay() -> None:
    found = found_values(_100=[1, *text_words("SN-4711-0815"), 0, 0xFFFF])
    assert redacted(found) == [("holding:101-106", "text")]
    assert found.stretches[100] == [1, *text_words("xx-xxxx-xxxx"), 0, 0xFFFF]


def test_short_texts_may_be_numbers_and_stay() -> None:
    found = found_values(_0=[0, *text_words("V1.02x"), 0])
    assert redacted(found) == []
    assert found.stretches[0] == [0, *text_words("V1.02x"), 0]


def test_a_profile_protects_its_numbers_and_gives_its_texts_away() -> None:
    floats = list(struct.unpack(">HHHH", struct.pack(">ff", 230.4, 230.4)))  # reads as CfffCfff
    assert redacted(found_values(_0=floats)) == [("holding:0-3", "text")]
    found = found_values(_0=[*floats, *text_words("AB")])
    assert redacted(found, numbers=[read_range("holding:0-3")], texts=[read_range("holding:4")]) == [
        ("holding:4", "profile")
    ]
    assert found.stretches[0] == [*floats, 0x7878]


def test_what_is_asked_for_becomes_zero_where_there_is_something() -> None:
    found = found_values(_10=[1, 2, 3])
    assert redacted(found, asked=[read_range("holding:0-10"), read_range("input:11")]) == [
        ("holding:10", "asked")
    ]
    assert found.stretches[10] == [0, 2, 3]
    kept = found_values(_0=text_words("SN-4711-0815"))
    assert redacted(kept, strings=False) == []


def test_objects_of_the_product_stay_and_those_of_the_owner_go() -> None:
    assert redact_objects({0: b"Maker", 6: b"Hall 7", 0x80: b"SN 12\xff"}) == {
        0: b"Maker",
        6: b"xxxx x",
        0x80: b"xx xx\xff",
    }
    assert crossed_out(crossed_out(b"A-1")) == crossed_out(b"A-1") == b"x-x"


def unit(number: int, transport: Transport = LINE, *profiles: str, **objects: bytes) -> FoundUnit:
    identity = Identity({int(key[1:]): value for key, value in objects.items()})
    trials = tuple(Trial(name, Verdict(4, 2), 0) for name in profiles)
    return FoundUnit(transport, number, "answers", identity, None, trials)


@pytest.mark.parametrize(
    "transport",
    [
        LINE,
        Ascii("/dev/x", 9600, "E", 2, 7),
        Tcp("192.0.2.1", 502),
        Udp("h", 1),
        RtuOverTcp("on", 4001),
        Tls("h", 802, "/ca", "/cert", "/key", "name"),
    ],
)
def test_the_suggested_site_is_one_and_says_what_was_found(transport: Transport) -> None:
    text = suggested_site(
        [unit(3, transport, "eastron-sdm120", "eastron-sdm220", _0=b"Maker"), unit(4, transport)]
    )
    document = load_document(text, "site")
    (device,) = parse_mapping(document["modbus"]).devices
    assert (device.transport, device.unit) == (transport, 3)
    assert "# unit 3, Maker: plausible, compare with its display; so are eastron-sdm220" in text
    assert "# unit 4: no profile looks plausible" in text


def test_a_site_of_unknown_units_alone_is_one_too() -> None:
    assert parse_mapping(load_document(suggested_site([unit(4)]), "site")["modbus"]).devices == ()


def test_a_line_has_one_set_of_parameters_in_the_suggested_site() -> None:
    slow, fast = LINE, Rtu(LINE.path, 19_200, "N", 1)
    found = [unit(1, slow, "eastron-sdm120"), *(unit(number, fast, "eastron-sdm120") for number in (1, 2))]
    text = suggested_site(found)
    devices = parse_mapping(load_document(text, "site")["modbus"]).devices
    assert [(device.unit, device.transport) for device in devices] == [(1, fast), (2, fast)]
    assert "answered with these parameters too" in text


def test_less_likely_profiles_are_only_counted() -> None:
    trials = tuple(Trial(name, Verdict(4, 2), refused) for name, refused in (("a", 0), ("b", 0), ("c", 9)))
    found = FoundUnit(LINE, 3, "answers", Identity({0: b"M"}), Map(40000, ()), trials)
    assert found_rows([found]) == [
        ("9600 8N1", "3", "answers", "M, SunSpec at 40000", "a, b (1 less likely)")
    ]


def test_an_endpoint_that_ignores_unit_ids_is_suspected() -> None:
    host = Tcp("h", 502)
    assert one_device_for_all([unit(number, host) for number in range(1, 6)], range(1, 6))
    assert not one_device_for_all([unit(number, host) for number in range(1, 6)], range(1, 9))
    assert not one_device_for_all([unit(number) for number in range(1, 6)], range(1, 6))


def test_an_identity_has_a_title() -> None:
    assert Identity({0: b"Maker", 1: b"M-1\0\0", 5: b"Model"}).title() == "Maker M-1"
    assert Identity().title() == ""
    assert Identity(server_id=b"\x07\xff").title() == ""


def test_profiles_are_devices_and_unknown_ones_are_refused_with_a_guess() -> None:
    assert device_of("eastron-sdm120").max_registers == 60
    with pytest.raises(Exception, match="did you mean 'eastron-sdm120'"):
        device_of("eastron-sdm12")


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_progress_is_a_line_on_a_terminal_that_results_take_away() -> None:
    out, err = io.StringIO(), Terminal()
    screen = Screen(out, err, "headgate.modbus", as_json=False)
    screen.progress(5, 10, "unit 5")
    assert "[############............] 5/10  unit 5" in err.getvalue()
    screen.text("found")
    assert err.getvalue().endswith("\r\x1b[K")
    assert out.getvalue() == "found\n"


def test_a_pipe_sees_no_progress_and_json_no_tables() -> None:
    out, err = io.StringIO(), io.StringIO()
    screen = Screen(out, err, "headgate.modbus", as_json=True)
    screen.progress(1, 2, "x")
    screen.text("words")
    screen.table(("A",), [("b",)])
    screen.json({"°": 1})
    assert (out.getvalue(), err.getvalue()) == ('{"°": 1}\n', "")


def test_watching_draws_over_the_last_reading_on_a_terminal_alone() -> None:
    for out in (Terminal(), io.StringIO()):
        screen = Screen(out, io.StringIO(), "headgate.modbus", as_json=False)
        screen.over()
        screen.text("1\n2")
        screen.over()
        assert ("\x1b[2F\x1b[J" in out.getvalue()) == out.isatty()


def test_tables_are_as_wide_as_they_need() -> None:
    assert table_lines(("A", "B"), [("long", "1"), ("x", "22")], right=(1,)) == [
        "A       B",
        "─" * 9,
        "long    1",
        "x      22",
    ]


def failed(cause: Exception, transport: Transport) -> tuple[str, int]:
    error = NotConnected(f"cannot open {transport}")
    error.__cause__ = cause
    return failures.explained(error, transport)


@pytest.mark.parametrize(
    ("number", "code", "says"),
    [
        (errno.EWOULDBLOCK, exits.BUSY, "in use.*headgate.ModbusBridge"),
        (errno.ENOENT, exits.NO_INPUT, "/dev/serial/by-id"),
        (errno.EACCES, exits.NO_PERMISSION, "dialout"),
        (errno.ENOTTY, exits.NO_INPUT, "no serial port"),
        (errno.EIO, exits.UNAVAILABLE, "cannot open"),
    ],
)
def test_a_port_that_does_not_open_says_the_way_out(number: int, code: int, says: str) -> None:
    text, got = failed(OSError(number, os.strerror(number)), LINE)
    assert got == code
    assert re.search(says, text), text


def test_a_host_that_does_not_answer_says_the_way_out() -> None:
    host = Tcp("192.0.2.1", 502)
    assert "nothing listens there" in failed(ConnectionRefusedError(), host)[0]
    assert "cable" in failed(TimeoutError(), host)[0]
    assert "host name" in failed(OSError(-2, "Name or service not known"), host)[0]


def test_what_units_do_wrong_says_the_way_out() -> None:
    assert "baud rate" in failures.explained(NoReply("no reply"), LINE)[0]
    assert "scan finds" in failures.explained(NoReply("no reply"), Tcp("h", 1))[0]
    assert "parameters" in failures.explained(WrongReply("noise"), LINE)[0]
    assert failures.explained(ExceptionReply(2), LINE)[1] == exits.UNAVAILABLE
    with pytest.raises(KeyError):
        failures.explained(KeyError(), LINE)


def test_who_holds_a_port_is_named(tmp_path: Path) -> None:
    port = tmp_path / "ttyUSB0"
    port.touch()
    link = tmp_path / "by-id"
    link.symlink_to(port)
    process = tmp_path / "proc" / "812"
    (process / "fd").mkdir(parents=True)
    (process / "fd" / "5").symlink_to(port)
    (process / "cmdline").write_bytes(b"python\0-m\0headgate.roles.bridge\0modbus\0")
    (tmp_path / "proc" / "99").mkdir()
    assert holders(str(link), tmp_path / "proc") == ["pid 812 (python -m headgate.roles.bridge modbus)"]
