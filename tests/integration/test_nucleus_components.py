"""Components under the simulated nucleus: environment, order, restarts, stop, its own restart, orphans."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.support.certificates import Authority
from tests.support.component import Build, allow
from tests.support.processes import NucleusProcess, free_port, until

SLEEP = "sleep 600"


class Nowhere:
    """A broker that is not there: these tests need none."""

    def __init__(self) -> None:
        self.port = free_port()


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture
def build(tmp_path: Path) -> Build:
    return Build(tmp_path / "build")


class Gateway(NucleusProcess):
    """A nucleus with questions tests ask of it."""

    def component(self, name: str) -> dict[str, Any]:
        entry: dict[str, Any] = self.status()["components"].get(name, {})
        return entry

    def until_state(self, name: str, state: str, starts: int = 0) -> dict[str, Any]:
        def reached() -> bool:
            entry = self.component(name)
            return entry.get("state") == state and entry["starts"] >= starts

        until(reached, f"{name} is {state}")
        return self.component(name)

    def until_said(self, name: str, line: str) -> None:
        until(lambda: line in self.output(name), f"{name} says {line}")

    def output(self, name: str) -> list[str]:
        """Lines it printed, without their stamps."""
        file = self.root / "logs" / f"{name}.log"
        lines = file.read_text().splitlines() if file.exists() else []
        return [line.partition("] ")[2] for line in lines if "[nucleus]" not in line]


@pytest.fixture
def gateway(tmp_path: Path, authority: Authority, build: Build) -> Iterator[Gateway]:
    identity = authority.issue("gw-1")
    options = ("--build", str(build.path), "--broken-after", "50")
    one = Gateway(tmp_path / "g", Nowhere(), authority.ca, identity, "classic", *options)
    yield one
    one.stop()


def test_a_component_gets_the_environment_of_a_real_one_and_no_more(
    gateway: Gateway, build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADGATE_RUN", "run-7")
    monkeypatch.setenv("NOT_FOR_COMPONENTS", "1")
    files = {"main.sh": "env; pwd; cat data.txt", "data.txt": "from the zip\n"}
    script = 'cd "{artifacts:decompressedPath}/code" && sh main.sh; echo {configuration:/port}; ' + SLEEP
    config = {"DefaultConfiguration": {"port": 502}}
    run = {"Script": script, "Setenv": {"MINE": "{iot:thingName}"}}
    build.component("a.Env", {"run": run}, files=files, ComponentConfiguration=config)
    gateway.start("--deployment", str(build.deployment({"a.Env": {"componentVersion": "1.0.0"}})))
    until(lambda: "502" in gateway.output("a.Env"), "the component has printed")
    said = gateway.output("a.Env")
    env = dict(line.split("=", 1) for line in said if "=" in line)
    assert env["SVCUID"] == env["AWS_CONTAINER_AUTHORIZATION_TOKEN"]
    assert env["AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT"] == str(gateway.root / "ipc.socket")
    assert (env["AWS_REGION"], env["AWS_IOT_THING_NAME"]) == ("eu-west-1", "gw-1")
    assert (env["HEADGATE_RUN"], env["MINE"]) == ("run-7", "gw-1")
    assert set(env) <= {
        "SVCUID", "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_GG_NUCLEUS_DOMAIN_SOCKET_FILEPATH_FOR_COMPONENT",
        "AWS_REGION", "AWS_DEFAULT_REGION", "AWS_IOT_THING_NAME", "GGC_VERSION", "GG_ROOT_CA_PATH",
        "PATH", "HOME", "LANG", "HEADGATE_RUN", "MINE", "PWD", "OLDPWD", "_",
    } | {name for name in os.environ if name.startswith("HEADGATE_")}  # fmt: skip
    assert "from the zip" in said


def test_it_is_restarted_with_a_new_token_and_broken_after_enough_errors(
    tmp_path: Path, authority: Authority, build: Build
) -> None:
    build.component("a.Fails", {"run": "echo token $SVCUID; exit 7"})
    identity = authority.issue("gw-1")
    gateway = Gateway(tmp_path / "g", Nowhere(), authority.ca, identity, "lite", "--build", str(build.path))
    try:
        gateway.start("--deployment", str(build.deployment({"a.Fails": {}})))
        entry = gateway.until_state("a.Fails", "BROKEN")
    finally:
        gateway.stop()
    assert (entry["starts"], entry["exit_codes"]) == (3, [7, 7, 7])
    tokens = [line for line in gateway.output("a.Fails") if line.startswith("token ")]
    assert len(set(tokens)) == 3


def test_kill_9_is_an_error_and_exit_0_is_not(gateway: Gateway, build: Build) -> None:
    build.component("a.Runs", {"run": SLEEP})
    build.component("a.Ends", {"run": "true"})
    gateway.start("--deployment", str(build.deployment({"a.Runs": {}, "a.Ends": {}})))
    first = gateway.until_state("a.Runs", "RUNNING")
    os.kill(first["pid"], signal.SIGKILL)
    second = gateway.until_state("a.Runs", "RUNNING", starts=2)
    assert (second["exit_codes"], second["starts"]) == ([-9], 2)
    ended = gateway.until_state("a.Ends", "FINISHED")
    assert (ended["exit_codes"], ended["starts"], ended["pid"]) == ([0], 1, None)


def dependency(kind: str) -> dict[str, Any]:
    return {"ComponentDependencies": {"a.Base": {"VersionRequirement": "^1.0.0", "DependencyType": kind}}}


def test_hard_waits_and_restarts_soft_only_orders(gateway: Gateway, build: Build) -> None:
    build.component("a.Base", {"install": "sleep 0.3; echo installed", "run": SLEEP})
    build.component("a.Hard", {"run": "date +%s.%N; " + SLEEP}, **dependency("HARD"))
    build.component("a.Soft", {"run": SLEEP}, **dependency("SOFT"))
    gateway.start("--deployment", str(build.deployment({"a.Hard": {}, "a.Soft": {}})))
    for name in ("a.Hard", "a.Soft"):
        gateway.until_state(name, "RUNNING")
    log = gateway.log()
    assert log.index("a.Base: RUNNING") < log.index("a.Hard: STARTING")
    assert log.index("a.Base: RUNNING") < log.index("a.Soft: STARTING")
    os.kill(gateway.component("a.Base")["pid"], signal.SIGKILL)
    gateway.until_state("a.Hard", "RUNNING", starts=2)
    assert gateway.component("a.Base")["starts"] == 2
    assert gateway.component("a.Soft")["starts"] == 1
    gateway.stop()
    log = gateway.log()
    assert log.rindex("a.Hard: FINISHED") < log.rindex("a.Base: STOPPING")


def test_stop_is_asked_then_forced_and_leaves_nothing(gateway: Gateway, build: Build) -> None:
    build.component(
        "a.Polite",
        {
            "run": "trap 'echo bye; exit 0' TERM; sleep 600 & echo ready; wait",
            "shutdown": "echo shutdown script",
        },
    )
    stubborn = {
        "run": f"trap '' TERM; echo ready; {sys.executable} -c 'import time; time.sleep(600)'; sleep 600"
    }
    build.component("a.Stubborn", stubborn | {"shutdown": {"Script": "true", "Timeout": 1}})
    gateway.start("--deployment", str(build.deployment({"a.Polite": {}, "a.Stubborn": {}})))
    for name in ("a.Polite", "a.Stubborn"):
        # RUNNING is when the shell starts; a signal before its trap is set would just end it.
        gateway.until_said(name, "ready")
    assert gateway.process is not None
    children = psutil.Process(gateway.process.pid).children(recursive=True)
    gateway.stop()
    assert gateway.process.returncode == 0
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
    assert gateway.output("a.Polite")[-2:] == ["shutdown script", "bye"]
    assert not (gateway.root / "ipc.socket").exists()


@pytest.mark.parametrize("orphans", [False, True])
def test_a_killed_nucleus_takes_its_components_along_unless_orphans_are_wanted(
    gateway: Gateway, build: Build, orphans: bool
) -> None:
    build.component("a.Child", {"run": "sleep 600 & sleep 601; echo never"})
    flags = ("--orphans",) if orphans else ()
    gateway.start("--deployment", str(build.deployment({"a.Child": {}})), *flags)
    gateway.until_state("a.Child", "RUNNING")
    assert gateway.process is not None
    nucleus = psutil.Process(gateway.process.pid)
    until(lambda: len(family(nucleus)) == 2, "both sleeps run")
    children = family(nucleus)
    gateway.kill()
    try:
        _, alive = psutil.wait_procs(children, timeout=0.5 if orphans else 10)
        assert bool(alive) is orphans
    finally:
        for child in children:
            if child.is_running():
                child.kill()


def family(nucleus: psutil.Process) -> list[psutil.Process]:
    return [child for child in nucleus.children(recursive=True) if child.name() == "sleep"]


def test_a_restarted_nucleus_starts_what_was_deployed(gateway: Gateway, build: Build) -> None:
    recipe = build.component(
        "a.Kept", {"run": "echo {configuration:/greeting}; " + SLEEP}, files={"x": "y"},
        ComponentConfiguration={"DefaultConfiguration": {"greeting": "default"}},
    )  # fmt: skip
    update = {"configurationUpdate": {"merge": '{"greeting": "hello"}'}}
    gateway.start("--deployment", str(build.deployment({"a.Kept": update})))
    gateway.until_state("a.Kept", "RUNNING")
    # Running means started: what a process says then is lost if its nucleus is killed before it reads it.
    until(lambda: gateway.output("a.Kept") == ["hello"], "the first start said hello")
    gateway.kill()
    recipe.unlink()
    gateway.start()
    gateway.until_state("a.Kept", "RUNNING")
    until(lambda: gateway.output("a.Kept") == ["hello", "hello"], "both starts said hello")


def test_an_external_component_gets_a_token_and_no_process(gateway: Gateway, build: Build) -> None:
    access = {"accessControl": allow("ipc.pubsub", ["PublishToTopic"], ["a/b"])}
    build.component("a.External", {"run": SLEEP}, ComponentConfiguration={"DefaultConfiguration": access})
    gateway.start("--external", "a.External", "--external", "a.Unknown")
    given = gateway.external("a.External")
    assert given["socket"] == str(gateway.root / "ipc.socket")
    assert (given["thing"], given["profile"], given["component"]) == ("gw-1", "classic", "a.External")
    assert gateway.external("a.Unknown")["svcuid"] != given["svcuid"]
    assert gateway.component("a.External") == {
        "version": "1.0.0", "state": "RUNNING", "pid": None, "starts": 0, "exit_codes": []
    }  # fmt: skip


def refused(gateway: Gateway, *arguments: str) -> str:
    """Start it, see it fail, and return what it said."""
    gateway.launch(*arguments)
    assert gateway.process is not None
    assert gateway.process.wait(20) == 78
    assert not (gateway.root / "status.json").exists()
    return gateway.log()


def test_bad_input_is_named_and_changes_nothing(gateway: Gateway, build: Build) -> None:
    build.component("a.Good", {"run": SLEEP})
    good = str(build.deployment({"a.Good": {}}, "good"))
    gateway.start("--deployment", good)
    gateway.until_state("a.Good", "RUNNING")
    gateway.stop()
    before = (gateway.root / "config" / "config.json").read_text()

    bad = build.component("a.Bad", {"run": SLEEP}, Lifecicle={})
    said = refused(gateway, "--deployment", str(build.deployment({"a.Good": {}, "a.Bad": {}}, "bad")))
    assert f"{bad}: Lifecicle: unknown key (did you mean 'Lifecycle'?)" in said
    said = refused(gateway, "--deployment", str(build.deployment({"a.Gone": {}}, "gone")))
    assert "components.a.Gone: no recipe for a.Gone in" in said
    said = refused(
        gateway, "--deployment", str(build.deployment({"a.Good": {"componentVersion": "9.9.9"}}, "v"))
    )
    assert "no recipe for a.Good-9.9.9" in said
    assert "did you mean 'a.Good-1.0.0'?" in said
    build.component("a.Files", {"run": SLEEP}, files={"x": "y"})
    (build.path / "artifacts" / "a.Files" / "1.0.0" / "code.zip").unlink()
    said = refused(gateway, "--deployment", str(build.deployment({"a.Files": {}}, "files")))
    assert "Artifacts[0]: code.zip is not in" in said
    assert (gateway.root / "config" / "config.json").read_text() == before

    gateway.start()
    gateway.until_state("a.Good", "RUNNING")


def test_a_root_too_deep_for_a_socket_and_one_in_use(
    tmp_path: Path, authority: Authority, gateway: Gateway
) -> None:
    identity = authority.issue("gw-1")
    deep = Gateway(tmp_path / ("d" * 110), Nowhere(), authority.ca, identity, "classic")
    assert "Linux takes 107 B (choose a shorter --root)" in refused(deep)
    gateway.start()
    second = Gateway(gateway.root, Nowhere(), authority.ca, identity, "classic")
    second.launch()
    assert second.process is not None
    assert second.process.wait(20) == 78
    assert "another nucleus runs here" in second.log()


def test_phases(gateway: Gateway, build: Build) -> None:
    daemon = "(trap 'sleep 0.2; echo gone; exit 0' TERM; echo up; sleep 600 & wait) & exit 0"
    build.component("a.Startup", {"startup": daemon, "shutdown": "echo down"})
    install = {"Script": "echo never", "Skipif": "onpath sh"}
    build.component("a.Skips", {"install": install, "run": "echo ran; " + SLEEP})
    build.component("a.Slow", {"install": {"Script": SLEEP, "Timeout": 1}, "run": "true"})
    build.component("a.Bundle", {}, ComponentDependencies={"a.Startup": {"VersionRequirement": "*"}})
    wanted: dict[str, dict[str, Any]] = {name: {} for name in ("a.Startup", "a.Skips", "a.Slow", "a.Bundle")}
    gateway.start("--deployment", str(build.deployment(wanted)))
    gateway.until_state("a.Startup", "RUNNING")
    gateway.until_state("a.Bundle", "FINISHED")
    until(lambda: gateway.output("a.Skips") == ["ran"], "install was skipped")
    until(lambda: gateway.output("a.Startup") == ["up"], "the daemon runs")
    until(lambda: "install does not end within 1.0 s" in gateway.log(), "install is ended")
    gateway.stop()
    assert gateway.output("a.Startup") == ["up", "down", "gone"]


def test_a_new_deployment_restarts_what_it_changes(gateway: Gateway, build: Build) -> None:
    for name in ("a.Same", "a.Config", "a.Version", "a.Removed"):
        build.component(name, {"run": "echo {configuration:/x}; " + SLEEP})
    names = ("a.Same", "a.Config", "a.Version", "a.Removed")
    gateway.start("--deployment", str(build.deployment({name: {} for name in names}, "one")))
    for name in names:
        gateway.until_state(name, "RUNNING")
    gateway.stop()
    build.component("a.Version", {"run": "echo new; " + SLEEP}, version="1.1.0")
    changed = {"a.Same": {}, "a.Config": {"configurationUpdate": {"merge": {"x": 5}}}, "a.Version": {}}
    gateway.start("--deployment", str(build.deployment(changed, "two")))
    for name in changed:
        gateway.until_state(name, "RUNNING")
    assert set(gateway.status()["components"]) == set(changed)
    assert gateway.component("a.Version")["version"] == "1.1.0"
    until(lambda: gateway.output("a.Version")[-1:] == ["new"], "the new version runs")
    until(lambda: gateway.output("a.Config")[-1:] == ["5"], "the new configuration is used")


def test_a_json_recipe_is_read_too(gateway: Gateway, build: Build) -> None:
    recipe = build.component("a.Json", {"run": SLEEP})
    recipe.rename(recipe.with_suffix(".json"))
    gateway.start("--deployment", str(build.deployment({"a.Json": {"componentVersion": "1.0.0"}})))
    gateway.until_state("a.Json", "RUNNING")


def test_a_stop_during_install_leaves_nothing(gateway: Gateway, build: Build) -> None:
    build.component("a.Installs", {"install": "echo on it; " + SLEEP, "run": "true"})
    gateway.start("--deployment", str(build.deployment({"a.Installs": {}})))
    until(lambda: gateway.output("a.Installs") == ["on it"], "install runs")
    assert gateway.process is not None
    children = psutil.Process(gateway.process.pid).children(recursive=True)
    gateway.stop()
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
