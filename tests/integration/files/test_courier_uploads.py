"""The courier against the real handlers and the enforcing S3: whole uploads, and what can go wrong in one."""

from __future__ import annotations

import asyncio
import os
import random
from pathlib import Path
from typing import Any

from tests.support.courier_cloud import Cloud
from tests.support.courier_world import PART_BYTES, Gateway, accept, composite_of, site


def a_folder(tmp_path: Path, size_bytes: int, seed: int = 1) -> tuple[Path, bytes]:
    """A source with one file, in a folder of it."""
    data = random.Random(seed).randbytes(size_bytes)
    (tmp_path / "logs" / "day").mkdir(parents=True)
    (tmp_path / "logs" / "day" / "one.bin").write_bytes(data)
    accept(tmp_path / "state", site({"logs": tmp_path / "logs"}))
    return tmp_path / "logs" / "day" / "one.bin", data


def gateway(cloud: Cloud, tmp_path: Path) -> Gateway:
    return Gateway(cloud.facts, cloud.thing(), tmp_path / "state")


def check_arrived(cloud: Cloud, thing: str, file_id: str, data: bytes) -> None:
    row = cloud.row(thing, file_id)
    assert (row["state"], row["sha256"]) == ("complete", composite_of(data))
    assert cloud.body(row["key"]) == data


async def test_a_file_is_announced_listed_sent_and_confirmed(cloud: Cloud, tmp_path: Path) -> None:
    _, data = a_folder(tmp_path, 2 * PART_BYTES + 7)
    async with gateway(cloud, tmp_path).running() as gw:
        await gw.until(lambda: bool(gw.reports))
        (row,) = (await gw.ask("list", what="files"))["result"]["files"]
        expected = {"source": "logs", "path": "day/one.bin", "size": len(data)}
        expected |= {key: gw.reports[0][key] for key in ("file_id", "mtime_ms")}
        assert row == {**expected, "state": row["state"]}
        started = await gw.ask("fetch", file_id=row["file_id"], wait=True)
        assert (started["status"], started["code"]) == ("ok", "started")
        answer = await gw.ended(row["file_id"])
        assert (answer["code"], answer["result"]["state"]) == ("ok", "complete")
        check_arrived(cloud, gw.thing, row["file_id"], data)
        again = await gw.ask("fetch", file_id=row["file_id"])
        assert (again["code"], again["result"]["upload"]) == ("ok", answer["result"]["upload"])
        assert [r["path"] for r in gw.reports] == ["day/one.bin"]
    async with gateway(cloud, tmp_path).running() as gw:  # announced once, also by another process
        await gw.until(lambda: True)
        (row,) = (await gw.ask("list", what="files"))["result"]["files"]
        assert (row["state"], gw.reports) == ("complete", [])
    assert cloud.again() == 0


async def test_an_empty_file_is_one_empty_part(cloud: Cloud, tmp_path: Path) -> None:
    a_folder(tmp_path, 0)
    async with gateway(cloud, tmp_path).running() as gw:
        file_id = await gw.fetch("logs", "day/one.bin")
        assert (await gw.ended(file_id))["code"] == "ok"
        check_arrived(cloud, gw.thing, file_id, b"")


async def test_urls_that_expire_under_way_are_asked_for_again(cloud: Cloud, tmp_path: Path) -> None:
    _, data = a_folder(tmp_path, 3 * PART_BYTES)
    gw = gateway(cloud, tmp_path)
    expired: list[int] = []

    def expire_once(message: dict[str, Any]) -> dict[str, Any]:
        if message["kind"] == "urls" and not expired:
            expired.append(len(gw.heard))
            asyncio.get_running_loop().call_later(0.02, cloud.do, "s3_expire")
        return message

    gw.down = expire_once
    async with gw.running():
        file_id = await gw.fetch("logs", "day/one.bin")
        assert (await gw.ended(file_id))["code"] == "ok"
        check_arrived(cloud, gw.thing, file_id, data)
    assert len([m for m in gw.heard if m["kind"] == "urls"]) > 1
    stored = [p["part"] for p in cloud.puts(gw.thing) if p["status"] == 200]
    assert sorted(stored) == [1, 2, 3]


async def test_a_part_with_a_wrong_checksum_is_refused_and_the_file_read_again(
    cloud: Cloud, tmp_path: Path
) -> None:
    """Bytes that changed under the same size and time: S3 says BadDigest, the next plan is right."""
    path, _ = a_folder(tmp_path, 2 * PART_BYTES)
    gw = gateway(cloud, tmp_path)
    found = path.stat()
    data = bytearray(path.read_bytes())
    data[-1] ^= 1

    def change_once(message: dict[str, Any]) -> dict[str, Any]:
        if message["kind"] == "urls" and not gw.kinds("urls"):
            path.write_bytes(data)
            os.utime(path, ns=(found.st_atime_ns, found.st_mtime_ns))
        return message

    gw.down = change_once
    async with gw.running():
        file_id = await gw.fetch("logs", "day/one.bin")
        assert (await gw.ended(file_id))["code"] == "ok"
        check_arrived(cloud, gw.thing, file_id, bytes(data))
    codes = [put["code"] for put in cloud.puts(gw.thing)]
    assert "BadDigest" in codes


async def test_urls_of_another_device_are_refused_and_others_asked_for(cloud: Cloud, tmp_path: Path) -> None:
    """A list that was made for another gateway: its URLs are worth nothing for these bytes."""
    _, data = a_folder(tmp_path / "a", 2 * PART_BYTES)
    a_folder(tmp_path / "b", 2 * PART_BYTES, seed=2)
    other = Gateway(cloud.facts, cloud.thing(), tmp_path / "b" / "state")
    gw = Gateway(cloud.facts, cloud.thing(), tmp_path / "a" / "state")
    foreign: list[dict[str, Any]] = []

    def keep(message: dict[str, Any]) -> dict[str, Any] | None:
        if message["kind"] != "urls":
            return message
        foreign.append(message)
        return None

    def swap_once(message: dict[str, Any]) -> dict[str, Any]:
        if message["kind"] == "urls" and len(foreign) == 1:
            foreign.append(message)
            return {**message, "list": foreign[0]["list"]}
        return message

    other.down, gw.down = keep, swap_once
    async with other.running():
        await other.fetch("logs", "day/one.bin")
        await other.until(lambda: bool(foreign))
    async with gw.running():
        file_id = await gw.fetch("logs", "day/one.bin")
        assert (await gw.ended(file_id))["code"] == "ok"
        check_arrived(cloud, gw.thing, file_id, data)
    refused = [put for put in cloud.puts(other.thing) if put["status"] != 200]
    assert {put["status"] for put in refused} == {403}
    assert {put["code"] for put in refused} == {"SignatureDoesNotMatch"}
    assert not [put for put in cloud.puts(other.thing) if put["status"] == 200]


async def test_outages_of_s3_cost_time_and_no_part(cloud: Cloud, tmp_path: Path) -> None:
    """Parts are cut in their middle; then S3 refuses everything, then no connection stays open."""
    _, data = a_folder(tmp_path, 4 * PART_BYTES)
    gw = gateway(cloud, tmp_path)
    again = cloud.again()
    story = {0.3: "s3_refuse", 0.6: "s3_cut", 0.9: "s3_serve"}

    def hurt_once(message: dict[str, Any]) -> dict[str, Any]:
        if message["kind"] == "urls" and not gw.kinds("urls"):
            cloud.do("s3_cut_part")
            cloud.do("s3_cut_part")
            for seconds, what in story.items():
                asyncio.get_running_loop().call_later(seconds, cloud.do, what)
        return message

    gw.down = hurt_once
    try:
        async with gw.running():
            file_id = await gw.fetch("logs", "day/one.bin")
            assert (await gw.ended(file_id))["code"] == "ok"
    finally:
        cloud.do("s3_serve")
    check_arrived(cloud, gw.thing, file_id, data)
    puts = cloud.puts(gw.thing)
    assert sorted(put["part"] for put in puts if put["status"] == 200) == [1, 2, 3, 4]
    assert [put for put in puts if put["status"] == 0]  # a slow machine may come to the second cut too late
    assert cloud.again() == again


async def test_outages_of_hub_and_broker_are_waited_out(cloud: Cloud, tmp_path: Path) -> None:
    _, data = a_folder(tmp_path, 2 * PART_BYTES)
    gw = gateway(cloud, tmp_path)
    gw.hub_away = True
    lost: list[str] = []

    def lose_first_of_each(message: dict[str, Any]) -> dict[str, Any] | None:
        if message["kind"] in lost:
            return message
        lost.append(message["kind"])
        return None

    gw.down = lose_first_of_each
    async with gw.running():
        gw.bus.cloud_online = False
        file_id = await gw.fetch("logs", "day/one.bin")
        await asyncio.sleep(0.5)
        assert gw.reports == gw.said == []
        gw.bus.cloud_online = True
        gw.hub_away = False
        assert (await gw.ended(file_id))["code"] == "ok"
    check_arrived(cloud, gw.thing, file_id, data)
    assert {"urls", "confirmed"} <= set(lost)


async def test_a_file_that_changes_while_it_is_sent_is_given_up_and_announced_anew(
    cloud: Cloud, tmp_path: Path
) -> None:
    path, data = a_folder(tmp_path, 2 * PART_BYTES)
    gw = gateway(cloud, tmp_path)

    def append_once(message: dict[str, Any]) -> dict[str, Any]:
        if message["kind"] == "urls" and not gw.kinds("urls"):
            with path.open("ab") as file:
                file.write(b"more")
        return message

    gw.down = append_once
    async with gw.running():
        file_id = await gw.fetch("logs", "day/one.bin")
        answer = await gw.ended(file_id)
        assert (answer["status"], answer["code"], answer["result"]["state"]) == (
            "failed",
            "changed",
            "changed",
        )
        await gw.until(lambda: len(gw.reports) == 2)
        assert gw.reports[1]["file_id"] != file_id
        unknown = await gw.ask("fetch", file_id=file_id)
        assert unknown["code"] == "unknown_file"
        file_id = await gw.fetch("logs", "day/one.bin")
        assert (await gw.ended(file_id))["code"] == "ok"
    check_arrived(cloud, gw.thing, file_id, data + b"more")


async def test_what_leads_out_of_a_folder_is_refused(cloud: Cloud, tmp_path: Path) -> None:
    path, _ = a_folder(tmp_path, 10)
    (tmp_path / "secret").write_text("secret")
    logs = tmp_path / "logs"
    (logs / "link").symlink_to(tmp_path / "secret")
    (logs / "up").symlink_to(tmp_path)
    os.mkfifo(logs / "pipe")
    gw = gateway(cloud, tmp_path)
    async with gw.running():
        await gw.until(lambda: bool(gw.reports))
        for wanted in (
            "../secret",
            str(tmp_path / "secret"),
            "link",
            "up/secret",
            "day/../../secret",
            "pipe",
        ):
            answer = await gw.ask("fetch", source="logs", path=wanted)
            assert (answer["status"], answer["code"]) == ("refused", "outside_roots"), wanted
        answer = await gw.ask("fetch", source="others", path="one.bin")
        assert answer["code"] == "outside_roots"
        answer = await gw.ask("fetch", source="logs", path="day/two.bin")
        assert answer["code"] == "unknown_file"
        (row,) = (await gw.ask("list", what="files"))["result"]["files"]
        assert row["path"] == "day/one.bin"
    assert [report["path"] for report in gw.reports] == ["day/one.bin"]
    assert path.exists()


async def test_the_gateway_s_own_state_is_no_source(cloud: Cloud, tmp_path: Path) -> None:
    """Site documents hold keys: neither a source in the state root nor one around it gives them away."""
    state = tmp_path / "state"
    accept(state, site({"inside": state / "config", "around": tmp_path}))
    (tmp_path / "a.txt").write_text("a")
    async with gateway(cloud, tmp_path).running() as gw:
        await gw.until(lambda: bool(gw.reports))
        for source, path in (("inside", "current"), ("around", "state/config/current")):
            answer = await gw.ask("fetch", source=source, path=path)
            assert answer["code"] == "outside_roots"
        files = (await gw.ask("list", what="files"))["result"]["files"]
        assert [(row["source"], row["path"]) for row in files] == [("around", "a.txt")]


async def test_a_large_reply_is_offered_and_left_to_the_hub_to_announce(cloud: Cloud, tmp_path: Path) -> None:
    accept(tmp_path / "state", site({}))
    replies = tmp_path / "state" / "spool" / "replies"
    (replies / "r-1.json").write_text("{}")
    (replies / ".r-2.json.5.tmp").write_text("{")
    async with gateway(cloud, tmp_path).running() as gw:
        (row,) = (await gw.ask("list", what="files"))["result"]["files"]
        assert (row["source"], row["path"], row["state"]) == ("replies", "r-1.json", "announced")
        fetched = await gw.ask("fetch", file_id=row["file_id"])
        assert fetched["code"] == "started"
        # The hub did not announce it here: the cloud does not know it, and the courier tells in the end.
        assert gw.reports == []
        await gw.until(lambda: bool(gw.kinds("refused")))
        assert {message["code"] for message in gw.kinds("refused")} == {"unknown"}


async def test_a_confirmed_file_goes_where_that_is_configured(cloud: Cloud, tmp_path: Path) -> None:
    path, data = a_folder(tmp_path, 100)
    accept(tmp_path / "state", site({"logs": tmp_path / "logs"}, delete=True))
    async with gateway(cloud, tmp_path).running() as gw:
        file_id = await gw.fetch("logs", "day/one.bin")
        assert (await gw.ended(file_id))["code"] == "ok"
        while path.exists():
            await asyncio.sleep(0.02)
        check_arrived(cloud, gw.thing, file_id, data)
        assert (await gw.ask("fetch", file_id=file_id))["code"] == "ok"


async def test_a_long_list_comes_in_pages_that_fit_the_local_bus(cloud: Cloud, tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    names = sorted(f"{'ü' * 90}{n:03}" for n in range(60))
    for name in names:
        (tmp_path / "logs" / name).touch()
    accept(tmp_path / "state", site({"logs": tmp_path / "logs", "gone": tmp_path / "nothing"}))
    async with gateway(cloud, tmp_path).running() as gw:
        await gw.until(lambda: len(gw.reports) == len(names))
        found: list[str] = []
        after = ""
        pages = 0
        while True:
            result = (await gw.ask("list", what="files", after=after))["result"]
            found += [row["path"] for row in result["files"]]
            pages += 1
            if "next" not in result:
                break
            after = result["next"]
        assert (found, pages > 3) == (names, True)
