"""The courier against the real handlers and the enforcing S3: whole uploads, and what can go wrong in one."""

from __future__ import annotations

import asyncio
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
        assert row == {
            **{"file_id": gw.reports[0]["file_id"], "source": "logs", "path": "day/one.bin"},
            **{"size": len(data), "mtime_ms": gw.reports[0]["mtime_ms"], "state": row["state"]},
        }
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
