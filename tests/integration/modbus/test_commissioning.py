"""`python -m headgate.modbus` at dumped devices on TCP and on a serial line: what it prints and sends."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import jsonschema
import pytest
import yaml

from gateway_sim.devices.dumped import Dumped, serving
from gateway_sim.devices.fixture import read
from gateway_sim.devices.sunspec import plant
from gateway_sim.devices.sunspec import serving as sunspec_devices
from headgate.clock import SystemClock
from headgate.errors import Fatal
from headgate.modbus.client import ExceptionReply
from headgate.modbus.commissioning.asker import READ_ONLY, Asker, Timing
from headgate.modbus.commissioning.identity import identify
from headgate.modbus.commissioning.settings import settings
from headgate.modbus.config import parse_mapping
from headgate.modbus.link import PymodbusClient
from headgate.modbus.puts import Put
from headgate.modbus.sunspec.walk import Map
from headgate.modbus.transports import Rtu, Tcp, Transport
from tests.support.dumped_devices import IDENTITY, METER_VALUES, meter, saved, talkative
from tests.support.modbus_driven import driven
from tests.support.modbus_servers import Answer, framed, scripted_server

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = json.loads((ROOT / "schemas" / "fixture.v1.json").read_text())
READS = {1, 2, 3, 4, 17, 43}
Line = Literal["tcp", "rtu"]


@dataclass(frozen=True, slots=True)
class Done:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        rows = [json.loads(line) for line in self.out.splitlines()]
        return rows[0] if len(rows) == 1 else rows


@dataclass(frozen=True, slots=True)
class Cabinet:
    """Devices on a line, and the command line to try at them."""

    where: tuple[str, str]
    transport: Transport
    dumped: Dumped

    async def run(self, command: str, *words: str) -> Done:
        done = await run(command, *self.where, *words)
        assert {asked.function for asked in self.dumped.asked} <= READS
        assert all(asked.data[:1] == b"\x0e" for asked in self.dumped.asked if asked.function == 43)
        return done


async def run(*words: str, env: dict[str, str] | None = None, python: tuple[str, ...] = ()) -> Done:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *python,
        "-m",
        "headgate.modbus",
        *words,
        cwd=ROOT if env is None else "/",
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await process.communicate()
    assert process.returncode is not None
    return Done(process.returncode, out.decode(), err.decode())


@asynccontextmanager
async def cabinet(line: Line, tmp_path: Path, *documents: dict[str, Any]) -> AsyncIterator[Cabinet]:
    fixtures = [read(saved(each, tmp_path / f"{i}.yaml")) for i, each in enumerate(documents)]
    async with serving(fixtures, transport=line, directory=tmp_path / "served") as (device, dumped):
        if line == "tcp":
            assert device.host is not None
            assert device.port is not None
            yield Cabinet(("--tcp", f"{device.host}:{device.port}"), Tcp(device.host, device.port), dumped)
        else:
            assert device.path is not None
            yield Cabinet(("--serial", device.path), Rtu(device.path, 19_200, "N", 1), dumped)


LINES = pytest.mark.parametrize("line", ["tcp", "rtu"])


@LINES
async def test_a_scan_finds_identifies_and_suggests(line: Line, tmp_path: Path) -> None:
    async with cabinet(line, tmp_path, meter(2), talkative(4)) as devices:
        done = await devices.run("scan", "--units", "1-5", "--timeout", "0.15", "--json")
        said = done.json()
        assert done.code == 0, done.err
        assert [each["unit"] for each in said["found"]] == [2, 4]
        assert said["found"][0]["plausible_profiles"][0]["profile"] == "eastron-sdm120"
        assert said["found"][1]["identity"]["vendor_name"] == "Example Instruments"
        assert (said["found"][1]["sunspec"]["base"], said["found"][1]["sunspec"]["models"]) == (40000, [])
        assert said["found"][1]["plausible_profiles"] == []
        (device,) = parse_mapping(yaml.safe_load(said["site"])["modbus"]).devices
        assert (device.unit, device.transport) == (2, devices.transport)
        shown = await devices.run(
            "scan", "--units", "2,4", "--timeout", "0.15", "--profiles", "eastron-sdm120"
        )
        assert "eastron-sdm120" in shown.out
        assert "Plausible is not proven" in shown.out


@LINES
async def test_an_exception_is_life(line: Line, tmp_path: Path) -> None:
    async with cabinet(line, tmp_path, meter(2)) as devices:
        probe = ("--probe", "discrete:0", "--profiles", "")
        said = (await devices.run("scan", "--units", "1-3", "--timeout", "0.15", "--json", *probe)).json()
        assert [(each["unit"], each["answer"]) for each in said["found"]] == [
            (2, "exception 1, illegal function")
        ]


@LINES
async def test_a_profile_is_read(line: Line, tmp_path: Path) -> None:
    async with cabinet(line, tmp_path, meter(2)) as devices:
        done = await devices.run("read", "--unit", "2", "--profile", "eastron-sdm120", "--json")
        values = {row["address"]: row["value"] for row in done.json()}
        assert values == pytest.approx(METER_VALUES, rel=1e-6)
        shown = await devices.run("read", "--unit", "2", "--profile", "eastron-sdm120")
        assert "voltage                     230.5 V   input:0-1       4366 8000" in shown.out


@LINES
async def test_registers_are_read_in_all_orders_and_what_is_refused_costs_itself_alone(
    line: Line, tmp_path: Path
) -> None:
    async with cabinet(line, tmp_path, meter(2)) as devices:
        words = ("u:30001:float32:unit=V", "input:79:2", "coil:0:9", "input:0:2")
        done = await devices.run("read", "--unit", "2", "--all-orders", "--json", *words)
        good, refused, coils, raw = done.json()
        assert (good["name"], good["value"], good["unit"], good["quality"]) == ("u", 230.5, "V", "good")
        assert good["orders"]["abcd"] == {"float32": 230.5}
        assert refused["error"] == "exception 3, illegal data value"
        assert coils["registers"] == [1, 0, 1, 1, 0, 0, 0, 0, 1]
        assert list(raw["orders"]) == ["abcd", "cdab", "badc", "dcba"]
        assert done.code == 0
        assert (await devices.run("read", "--unit", "2", "input:90:2")).code == 69


async def test_watching_reads_again_and_again(tmp_path: Path) -> None:
    async with cabinet("tcp", tmp_path, meter(2)) as devices:
        done = await devices.run(
            "read", "--unit", "2", "--watch", "0.02", "--times", "3", "--json", "holding:0:2"
        )
        assert [row["registers"] for row in done.json()] == [[7, 8]] * 3


@LINES
async def test_a_unit_is_identified_over_several_replies(line: Line, tmp_path: Path) -> None:
    async with cabinet(line, tmp_path, talkative(4), meter(2)) as devices:
        async with Asker(devices.transport, Timing(), SystemClock()) as asker:
            said = await identify(asker, 4)
        assert dict(said.objects) == IDENTITY
        assert (said.conformity, said.server_id, said.sunspec) == (0x83, b"\x07\xffSN 4711", Map(40000, ()))
        streams = [asked.data for asked in devices.dumped.asked if asked.function == 43]
        assert sum(data[1] == 3 for data in streams) > 1, "more follows"
        shown = await devices.run("identify", "--unit", "4")
        assert "user application name   cabinet of Hall 7" in shown.out
        assert "marker at holding:40000, and no models behind it" in shown.out
        silent = await devices.run("identify", "--unit", "2")
        assert "not answered: device identification (43/14, code 1): exception 1" in silent.out
        assert "no marker" in silent.out


@LINES
@pytest.mark.parametrize("made", [meter, talkative])
async def test_the_dump_of_a_served_dump_is_the_dump(line: Line, made: Any, tmp_path: Path) -> None:
    ranges = (
        "--range",
        "holding:0-99",
        "--range",
        "input:0-399",
        "--range",
        "coil:0-15",
        "--range",
        "holding:39990-40010",
    )
    redact = ("--redact", "holding:40", "--unit", "6")
    first, second = tmp_path / "first.yaml", tmp_path / "second.json"
    async with cabinet(line, tmp_path, made(6)) as devices:
        done = await devices.run("dump", *ranges, *redact, "-o", str(first))
        assert done.code == 0, done.err
    document = yaml.safe_load(first.read_text())
    jsonschema.validate(document, SCHEMA)
    async with cabinet(line, tmp_path, document) as devices:
        assert (await devices.run("dump", *ranges, *redact, "-o", str(second))).code == 0
    assert json.loads(second.read_text()) == document
    whole = first.read_text() + done.err
    assert not any(secret in whole for secret in ("4711", "Hall", "127.0.0.1", "/dev/pts"))


async def test_a_dump_keeps_what_the_device_has_and_refuses_to_replace_a_file(tmp_path: Path) -> None:
    output = tmp_path / "m.yaml"
    async with cabinet("tcp", tmp_path, meter(2)) as devices:
        words = ("dump", "--unit", "2", "--keep-texts", "-o", str(output))
        assert (await devices.run(*words)).code == 0
        again = await devices.run(*words)
        assert again.code == 73
        assert "is there already" in again.err
        assert (await devices.run(*words, "--force", "--profile", "eastron-sdm120")).code == 0
    whole = yaml.safe_load(output.read_text())
    assert list(whole["tables"]) == ["input"]
    stretches = whole["tables"]["input"]["values"]
    assert [(each["address"], len(each["values"])) for each in stretches] == [(0, 32), (70, 10), (342, 4)]


async def test_nothing_but_reads_can_be_sent(tmp_path: Path) -> None:
    async with cabinet("tcp", tmp_path, meter(2)) as devices:
        client = PymodbusClient(devices.transport, permits=READ_ONLY)
        await client.connect(1)
        puts = [
            Put("coil", 0, (1,)),
            Put("holding", 0, (1,)),
            Put("coil", 0, (1, 0)),
            Put("holding", 0, (1, 2)),
            Put("holding", 0, (1,), mask=1),
        ]
        for put in puts:
            with pytest.raises(Fatal, match=f"function code {put.function} is never sent"):
                await client.write(put, 2, 1)
        assert devices.dumped.asked == []
        client.close()
        # The record would have seen it: a client without the door does get through.
        client = PymodbusClient(devices.transport)
        await client.connect(1)
        for put in puts:
            with pytest.raises(ExceptionReply):
                await client.write(put, 2, 1)
        assert [asked.function for asked in devices.dumped.asked] == [5, 6, 15, 16, 22]
        client.close()
        record = (tmp_path / "served" / "dumped.asked.jsonl").read_text().splitlines()
        assert [json.loads(line)["function"] for line in record] == [5, 6, 15, 16, 22]


async def test_beside_a_running_bridge_it_sends_nothing_and_the_bridge_keeps_its_values(
    tmp_path: Path,
) -> None:
    async with cabinet("rtu", tmp_path, meter(2)) as devices:
        tag = {"name": "u", "table": "input", "address": 0, "type": "float32"}
        polled = {
            "name": "m",
            "unit": 2,
            "transport": settings(devices.transport),
            "groups": [{"name": "g", "interval_s": 0.05, "tags": [tag]}],
        }
        async with driven(polled) as bridge:
            await bridge.until(lambda: len(bridge.values("m/u")) > 2)
            before = len(bridge.values("m/u"))
            done = await devices.run("scan", "--units", "1-5")
            assert done.code == 75
            assert "is in use by pid" in done.err
            await bridge.until(lambda: len(bridge.values("m/u")) > before + 2)
            assert set(bridge.values("m/u")) == {(230.5, 0)}
        assert {(asked.function, asked.data.hex()) for asked in devices.dumped.asked} == {(4, "00000002")}


async def test_a_port_in_use_is_named_with_its_holder(tmp_path: Path) -> None:
    async with (
        cabinet("rtu", tmp_path, meter(2)) as devices,
        Asker(devices.transport, Timing(), SystemClock()),
    ):
        done = await devices.run("read", "--unit", "2", "holding:0:2")
        assert done.code == 75
        assert "is in use by pid" in done.err
        assert "headgate.ModbusBridge" in done.err
        assert devices.dumped.asked == []


@LINES
async def test_silence_says_the_way_out(line: Line, tmp_path: Path) -> None:
    async with cabinet(line, tmp_path, meter(2)) as devices:
        for command in (("read", "holding:0"), ("identify",), ("dump",)):
            done = await devices.run(*command, "--unit", "9", "--timeout", "0.05", "--retries", "0")
            assert done.code == 69
            assert "check the unit id" in done.err
        done = await devices.run("scan", "--units", "8-9", "--timeout", "0.05")
        assert done.code == 69
        assert "2 units were asked and none answered" in done.err


async def test_what_cannot_be_reached_says_the_way_out(tmp_path: Path) -> None:
    async with cabinet("tcp", tmp_path, meter(2)) as devices:
        where = devices.where
    refused = await run("scan", *where)
    assert refused.code == 69
    assert "nothing listens there" in refused.err
    missing = await run("read", "--serial", str(tmp_path / "ttyUSB7"), "holding:0")
    assert missing.code == 66
    assert "is not there" in missing.err
    wrong = await run("read", *where, "--profile", "eastron-sdm12", "holding:0")
    assert wrong.code == 64
    assert "did you mean 'eastron-sdm120'" in wrong.err
    assert (await run("read", *where)).code == 64


async def test_an_interrupted_scan_shows_what_it_found(tmp_path: Path) -> None:
    async with cabinet("tcp", tmp_path, meter(1)) as devices:
        waiting = asyncio.Event()
        devices.dumped.on_asked = lambda asked: waiting.set() if asked.unit == 2 else None
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "headgate.modbus", "scan", *devices.where),
            *("--units", "1-200", "--timeout", "5", "--profiles", ""),
            cwd=ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(20):
            await waiting.wait()
        process.send_signal(signal.SIGINT)
        out, err = await process.communicate()
        assert process.returncode == 130
        assert "interrupted" in err.decode()
        assert "unit 1: no profile looks plausible" in out.decode()


async def test_a_port_that_does_not_know_a_parity_is_scanned_with_the_others(tmp_path: Path) -> None:
    # The kernel's ptys have no parity.
    async with cabinet("rtu", tmp_path, meter(2)) as devices:
        words = ("--units", "2", "--timeout", "0.1", "--profiles", "", "--parity", "E,N")
        done = await devices.run("scan", *words)
        assert done.code == 0
        assert "19200 8N1      2   answers" in done.out
        assert "does not take these parameters" in done.err


def refusing(*present: int) -> Answer:
    """A gateway: units that are not there are answered for by exception 11."""
    return lambda tid, unit, pdu: framed(tid, unit, bytes((pdu[0] | 0x80, 1 if unit in present else 11)))


async def test_a_gateway_that_answers_for_absent_units_has_those_alone_that_are_there() -> None:
    async with scripted_server(refusing(3)) as port:
        words = ("scan", "--tcp", f"127.0.0.1:{port}", "--units", "1-8", "--profiles", "", "--json")
        assert [each["unit"] for each in (await run(*words)).json()["found"]] == [3]


async def test_a_device_that_takes_any_unit_id_is_suspected() -> None:
    async with scripted_server(refusing(*range(1, 9))) as port:
        done = await run("scan", "--tcp", f"127.0.0.1:{port}", "--units", "1-8", "--profiles", "")
        assert "may be one device that takes any unit id" in done.out
    async with scripted_server(refusing(*range(256))) as port:
        done = await run("scan", "--tcp", f"127.0.0.1:{port}", "--profiles", "")
        assert "All 248 units answered alike: this is one device that takes any unit id" in done.out
        assert done.out.count("exception 1") == 1


async def test_a_device_that_hangs_up_on_what_it_does_not_know_is_scanned_all_the_same() -> None:
    def answer(tid: int, unit: int, pdu: bytes) -> bytes | None:
        if pdu[0] == 3 and pdu[1:3] == b"\x00\x00" and unit in (1, 3):
            return framed(tid, unit, bytes((3, 2 * pdu[4])) + bytes(2 * pdu[4]))
        return b""

    async with scripted_server(answer) as port:
        words = ("--units", "1-3", "--profiles", "eastron-sdm120", "--json")
        done = await run("scan", "--tcp", f"127.0.0.1:{port}", *words)
        said = done.json()
        assert [each["unit"] for each in said["found"]] == [1, 3]
        assert [each["unit"] for each in said["noise"]] == [2]
        assert "closed the connection" in said["noise"][0]["heard"]
        identified = await run("identify", "--tcp", f"127.0.0.1:{port}")
        assert "not answered: device identification (43/14, code 1)" in identified.out
        assert identified.code == 0


async def test_a_busy_device_is_asked_again() -> None:
    answers = iter([b"\x83\x06", b"\x83\x05", b"\x03\x02\x00\x2a"])
    async with scripted_server(lambda tid, unit, pdu: framed(tid, unit, next(answers))) as port:
        done = await run("read", "--tcp", f"127.0.0.1:{port}", "--json", "holding:0")
        assert done.json()["registers"] == [42]


async def test_watching_goes_on_after_a_lost_reply() -> None:
    replies = iter([b"\x03\x02\x00\x01", None, b"\x03\x02\x00\x02"])

    def answer(tid: int, unit: int, pdu: bytes) -> bytes | None:
        pdu_back = next(replies)
        return None if pdu_back is None else framed(tid, unit, pdu_back)

    async with scripted_server(answer) as port:
        words = (
            "--watch",
            "0.02",
            "--times",
            "3",
            "--retries",
            "0",
            "--timeout",
            "0.1",
            "--json",
            "holding:0",
        )
        done = await run("read", "--tcp", f"127.0.0.1:{port}", *words)
        assert [row["registers"] for row in done.json()] == [[1], [2]]
        assert "no reply within 0.1 s" in done.err
        assert done.code == 0


async def test_it_works_as_it_is_installed_on_a_gateway(tmp_path: Path) -> None:
    library = tmp_path / "lib"
    shutil.copytree(ROOT / "headgate", library / "headgate", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "profiles", library / "headgate" / "profiles")
    async with cabinet("tcp", tmp_path, meter(2)) as devices:
        words = ("read", *devices.where, "--unit", "2", "--profile", "eastron-sdm120", "--json")
        env = {**os.environ, "PYTHONPATH": str(library), "PYTHONSAFEPATH": "1"}
        done = await run(*words, env=env)
        assert done.code == 0, done.err
        assert len(done.out.splitlines()) == len(METER_VALUES)


async def test_a_sunspec_device_is_walked_and_suggested_as_one(tmp_path: Path) -> None:
    with plant(tmp_path, lambda: 1.0) as devices:
        async with sunspec_devices(devices) as port:
            where = ("--tcp", f"127.0.0.1:{port}")
            said = (await run("identify", *where, "--unit", "1", "--json")).json()
            shown = await run("scan", *where, "--units", "1-2", "--json")
    assert said["sunspec"]["models"] == [model.id for model in devices[0].models]
    found = shown.json()
    assert [each["sunspec"]["base"] for each in found["found"]] == [40000, 50000]
    made = parse_mapping(yaml.safe_load(found["site"])["modbus"]).devices
    assert [(device.unit, device.sunspec is not None) for device in made] == [(1, True), (2, True)]
