"""`./dev COMMAND`: what is known, what is meant, what is not there yet, and what pytest is given."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from devtools import __main__ as dev
from devtools import bench, check, help, lock
from devtools import test as dev_test
from devtools.check import Check


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert dev.main([]) == 0
    page = capsys.readouterr().out
    assert all(f"./dev {command}" in page for command in dev.COMMANDS if command != "help")
    assert all(len(line) <= 110 for line in page.splitlines())
    assert help.main([]) == 0
    assert capsys.readouterr().out == page


def test_an_unknown_command_is_told_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert dev.main(["biuld"]) == 2
    assert "unknown command 'biuld'; did you mean ./dev build?" in capsys.readouterr().err
    assert dev.main(["xyzzy"]) == 2
    assert "./dev help lists the commands" in capsys.readouterr().err


def test_a_command_that_is_not_written_yet_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(dev.COMMANDS, "demo", "gateway_sim.no_such_module")
    assert dev.main(["demo"]) == 1
    assert "demo is not built yet" in capsys.readouterr().err


def test_arguments_reach_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    got: list[list[str]] = []

    def main(argv: list[str]) -> int:
        got.append(argv)
        return 5

    monkeypatch.setattr(check, "main", main)
    assert dev.main(["check", "--x", "y"]) == 5
    assert got == [["--x", "y"]]


def test_the_dispatch_itself_imports_next_to_nothing() -> None:
    code = "import sys; import devtools.__main__; print([m for m in sys.modules if m.partition('.')[0] in "
    code += "('yaml', 'rich', 'numpy', 'pytest', 'headgate', 'gateway_sim')])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_slow_suites_get_a_seed_that_is_printed_first(capsys: pytest.CaptureFixture[str]) -> None:
    arguments = dev_test.slow_arguments(["--slow", "ipc", "--seed", "7", "-x"])
    assert arguments == ["--slow", "ipc", "--seed", "7", "--timeout", "1800", "-x"]
    assert capsys.readouterr().out.startswith("seed 7 ")
    drawn = dev_test.slow_arguments(["--slow"])
    assert drawn[:2] == ["--slow", "all"]
    assert capsys.readouterr().out.startswith(f"seed {drawn[3]} ")


def test_a_check_tells_its_output_only_when_it_fails(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    good = Check("good", ((sys.executable, "-c", "print('chatter')"),))
    bad = Check("bad", ((sys.executable, "-c", "print('the fault'); raise SystemExit(3)"), ("never", "run")))
    monkeypatch.setattr(check, "checks", lambda root: [good, bad])
    assert check.run_all(tmp_path) is False
    said = capsys.readouterr().out
    assert "ok    good" in said
    assert "FAIL  bad" in said
    assert "the fault" in said
    assert "chatter" not in said
    monkeypatch.setattr(check, "checks", lambda root: [good])
    assert check.main([]) == 0


def test_every_component_is_checked_for_windows() -> None:
    (windows,) = [one for one in check.checks() if one.name == "types on Windows"]
    words = [word for command in windows.commands for word in command]
    assert {"components/launch.py", "components/headgate.Hub/main.py", "headgate", "win32"} <= set(words)
    assert "components/headgate.Runtime/install.py" in words


def test_benchmarks_are_listed_by_what_they_say_of_themselves(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gateway.py").write_text('"""What a gateway costs.\n\nMore."""\n', "utf-8")
    (tmp_path / "form.py").write_text("", "utf-8")
    assert bench.benchmarks(tmp_path) == {"gateway": "What a gateway costs."}
    assert bench.main(["no-such-benchmark"]) == 2
    assert "unknown benchmark 'no-such-benchmark'" in capsys.readouterr().err


def test_a_lock_is_universal_hashed_and_names_no_index() -> None:
    for command in lock.commands(["--upgrade"]):
        assert {"--universal", "--generate-hashes", "--no-emit-index-url", "--upgrade"} <= set(command)
    assert lock.commands([])[1][-5:-3] == ["-c", "requirements/gateway.txt"]
    assert lock.commands([])[2][-5:-3] == ["-c", "requirements/dev.txt"]
