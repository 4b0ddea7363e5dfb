"""The command line's words: what they mean, and what is said of those that mean nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from headgate_cloud.cli import __main__ as cli
from headgate_cloud.cli import arguments, asking
from headgate_cloud.cli.cloud import run_directory
from headgate_cloud.cli.errors import UNREACHABLE, USAGE, Complaint

NOW_MS = 1_763_685_600_000
ROOT = Path(__file__).parents[3]


def question(*words: str) -> asking.Question:
    given = arguments.parse(words)
    found: asking.Question = getattr(asking, given.ask)(given, NOW_MS)
    return found


def test_read_of_all_three_kinds() -> None:
    asked = question(
        *("read", "meter-a/v", "--register", "meter-a:holding:2:4", "--register", "m:input:0"),
        *("--characteristic", "env-1:00002a6e-0000-1000-8000-00805f9b34fb"),
    )
    assert asked == asking.Question(
        "read",
        {
            "series": ["meter-a/v"],
            "registers": [
                {"device": "meter-a", "table": "holding", "address": 2, "count": 4},
                {"device": "m", "table": "input", "address": 0, "count": 1},
            ],
            "characteristics": [
                {"device": "env-1", "characteristic": "00002a6e-0000-1000-8000-00805f9b34fb"}
            ],
        },
    )


def test_query_takes_times_before_now() -> None:
    asked = question("query", "m/v", "--from", "-30s", "--to", "-10s", "--limit", "5", "--newest-first")
    assert asked.args == {
        "series": ["m/v"],
        "from": NOW_MS - 30_000,
        "to": NOW_MS - 10_000,
        "newest_first": True,
        "limit": 5,
    }


@pytest.mark.parametrize(
    ("spelt", "value"),
    [
        ("21.5", 21.5),
        ("-3", -3),
        ("18446744073709551615", 2**64 - 1),
        ("true", True),
        ("on", "on"),
        ("NaN", "NaN"),
        ('"7"', "7"),
        ("a=b", "a=b"),
    ],
)
def test_a_value_to_write_is_a_number_a_boolean_or_a_text(spelt: str, value: object) -> None:
    asked = question("write", f"m/t={spelt}", "m/u=1")
    assert asked.op == "write"
    values = [{"series": "m/t", "value": value}, {"series": "m/u", "value": 1}]
    assert json.dumps(asked.args) == json.dumps({"values": values})  # 1 and true are equal, but not the same


@pytest.mark.parametrize(
    ("words", "what"),
    [
        (("read",), "nothing to read"),
        (("write", "m/t"), "writes nothing"),
        (("write", "m/t="), "writes nothing"),
        (("write", "m=1"), "'m' is no series"),
        (("write", "m/t=[1]"), "is no value"),
        (("read", "voltage"), "'voltage' is no series"),
        (("read", "--register", "m:coils:1"), "is no register"),
        (("read", "--register", "m:holding:-1"), "is no register"),
        (("read", "--characteristic", "env-1"), "is no characteristic"),
        (("query", "m/v", "--from", "now", "--to", "-5s"), "is not before"),
        (("query", "m/v", "--from", "yesterday"), "'yesterday' is no time"),
        (("query", "m/v", "--limit", "0"), "--limit is 1 or more"),
        (("fetch", "nothing"), "is no file"),
        (("fetch", "/etc/passwd"), "is no file"),
    ],
)
def test_what_means_nothing_is_named(words: tuple[str, ...], what: str) -> None:
    with pytest.raises(ValueError, match=what):
        question(*words)


def test_options_stand_before_the_command_or_after_it() -> None:
    given = arguments.parse(["--timeout", "3s", "--thing", "a", "read", "m/v", "--thing", "b,c", "--json"])
    assert (given.timeout, given.json, given.sim) == (3.0, True, None)
    assert asking.things([*given.thing, *given.thing_after]) == ["a", "b", "c"]
    assert arguments.parse(["--timeout", "3s", "read", "m/v", "--timeout", "1m"]).timeout == 60.0


def test_the_word_after_sim_is_a_run_only_if_it_is_a_directory(tmp_path: Path) -> None:
    assert arguments.joined(["--sim", "read", "m/v"]) == ["--sim=", "read", "m/v"]
    assert arguments.joined(["--sim", str(tmp_path), "read"]) == [f"--sim={tmp_path}", "read"]
    assert arguments.joined(["read", "--sim"]) == ["read", "--sim="]
    assert arguments.joined(["query", "--from", "-5m", "--json"]) == ["query", "--from=-5m", "--json"]


def test_things_are_checked() -> None:
    with pytest.raises(ValueError, match="no name of a thing"):
        asking.things(["gw/1"])
    assert asking.things(["gw-1", "gw-1,gw-2"]) == ["gw-1", "gw-2"]


def test_the_newest_run_is_taken(tmp_path: Path) -> None:
    for age_s, name in ((50, "old"), (10, "new")):
        directory = tmp_path / ".run" / name / "cloud"
        directory.mkdir(parents=True)
        (directory / "cloud.json").write_text("{}")
        os.utime(directory / "cloud.json", (1_000_000 - age_s, 1_000_000 - age_s))
    assert run_directory("", [tmp_path]).parent.name == "new"
    assert run_directory(str(tmp_path / ".run" / "old")).parent.name == "old"
    assert run_directory(str(tmp_path / ".run" / "old" / "cloud")).parent.name == "old"
    with pytest.raises(Complaint, match="no running simulated cloud") as refused:
        run_directory(str(tmp_path))
    assert refused.value.code == UNREACHABLE
    with pytest.raises(Complaint, match="no simulated cloud is running"):
        run_directory("", [tmp_path / "empty"])


def test_wrong_words_end_with_their_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["read", "voltage"]) == USAGE
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err == "headgate: 'voltage' is no series; write DEVICE/TAG\n"


def test_help_loads_nothing_slow() -> None:
    script = (
        "import sys\n"
        "from headgate_cloud.cli import arguments\n"
        "arguments.build().format_help()\n"
        "print([m for m in ('asyncio', 'awscrt', 'boto3', 'botocore', 'rich') if m in sys.modules])\n"
    )
    found = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, timeout=60
    )
    assert found.stdout == "[]\n"


def test_the_script_runs_from_anywhere(tmp_path: Path) -> None:
    (tmp_path / "headgate").symlink_to(ROOT / "bin" / "headgate")
    found = subprocess.run(
        [str(tmp_path / "headgate"), "--help"], cwd=tmp_path, capture_output=True, text=True, timeout=60
    )
    assert found.returncode == 0
    assert found.stdout.startswith("usage: headgate")


def test_scans_ask_for_what_was_said_and_no_more() -> None:
    assert question("scan", "ble").args == {"source": "ble"}
    asked = question("scan", "ble", "--seconds", "30", "--adapter", "hci1")
    assert asked == asking.Question("scan", {"source": "ble", "seconds": 30.0, "adapter": "hci1"})
    words = ("scan", "modbus", "meter-a", "--first", "2", "--last", "9", "--reply-timeout", "0.5")
    assert question(*words).args == {
        "source": "modbus",
        "device": "meter-a",
        "first": 2,
        "last": 9,
        "timeout_s": 0.5,
    }
    assert question("jobs", "create", "scan", "ble", "--thing", "gw").args == {"source": "ble"}
    with pytest.raises(ValueError, match="--last 2 is before --first 9"):
        question("scan", "modbus", "m", "--first", "9", "--last", "2")
    for wrong in (
        ("scan",),
        ("scan", "modbus"),
        ("scan", "ble", "--seconds", "61"),
        ("scan", "modbus", "m", "--last", "248"),
        ("scan", "modbus", "m", "--reply-timeout", "3"),
    ):
        with pytest.raises(SystemExit):
            arguments.parse(wrong)
