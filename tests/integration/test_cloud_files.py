"""Files through the whole simulated cloud: MQTT and pre-signed URLs in, a confirmed object out."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import http.client
import json
import random
import signal
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiomqtt
import boto3
import pytest

from gateway_sim.cloud import control
from gateway_sim.cloud.certificates import Identity, client_context
from tests.integration.cloud_process import started, wait_until_ready

EPOCH = "8c0f3a5b77d01e42"
PART_BYTES = 5 * 1024**2
WAIT_S = 20.0


def sha256(piece: bytes) -> str:
    return base64.b64encode(hashlib.sha256(piece).digest()).decode()


def put(
    url: str, body: bytes, *, method: str = "PUT", headers: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """A tiny uploader: the status, and S3's code where it refused."""
    where = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(where.netloc, timeout=WAIT_S)
    try:
        sent = {"x-amz-checksum-sha256": sha256(body)} if headers is None else dict(headers)
        connection.request(method, f"{where.path}?{where.query}", body, sent)
        answer = connection.getresponse()
        text = answer.read().decode()
    finally:
        connection.close()
    return answer.status, text.partition("<Code>")[2].partition("</Code>")[0]


@dataclass(frozen=True)
class File:
    """A file in parts, as its gateway has it."""

    thing: str
    seed: int
    pieces: tuple[bytes, ...]

    @property
    def file_id(self) -> str:
        return hashlib.sha256(f"{self.thing}/{self.seed}".encode()).hexdigest()[:32]

    @property
    def size(self) -> int:
        return sum(map(len, self.pieces))

    @property
    def composite(self) -> str:
        joined = b"".join(hashlib.sha256(piece).digest() for piece in self.pieces)
        return f"{base64.b64encode(hashlib.sha256(joined).digest()).decode()}-{len(self.pieces)}"

    def announcement(self) -> bytes:
        report = {"type": "file", "file_id": self.file_id, "source": "logs", "path": "day/one.bin"}
        head = {"v": 1, "kind": "report", "stream": "reports", "epoch": EPOCH, "seq": 1, "prev": None}
        return json.dumps(
            {**head, "clock": "synced", "report": {**report, "size": self.size, "mtime_ms": 5}}
        ).encode()

    def pages(self) -> list[bytes]:
        """One part a page, the last page first."""
        whole = {"size": self.size, "part_size": PART_BYTES, "sha256": self.composite}
        return [
            json.dumps(
                {
                    "v": 1,
                    "kind": "parts",
                    "file_id": self.file_id,
                    **whole,
                    "page": n,
                    "pages": len(self.pieces),
                    "parts": [[n + 1, sha256(self.pieces[n])]],
                }
            ).encode()
            for n in reversed(range(len(self.pieces)))
        ]

    def sent(self, upload_id: str) -> bytes:
        return json.dumps({"v": 1, "kind": "sent", "file_id": self.file_id, "upload_id": upload_id}).encode()


def a_file(thing: str, seed: int = 1, parts: int = 2) -> File:
    drawn = random.Random(seed)
    sizes = [PART_BYTES] * (parts - 1) + [1_000]
    return File(thing, seed, tuple(drawn.randbytes(size) for size in sizes))


@dataclass
class Cloud:
    """A running simulated cloud, as anything outside its process sees it."""

    directory: Path
    facts: dict[str, Any]

    def client(self, service: str) -> Any:
        return boto3.client(
            service,
            endpoint_url=self.facts["s3_endpoint" if service == "s3" else "aws_endpoint"],
            region_name=self.facts["region"],
            aws_access_key_id=self.facts["credentials"]["access_key"],
            aws_secret_access_key=self.facts["credentials"]["secret_key"],
        )

    def row(self, file: File) -> dict[str, str]:
        key = {"thing": {"S": file.thing}, "file_id": {"S": file.file_id}}
        found = self.client("dynamodb").get_item(TableName=self.facts["tables"]["Files"], Key=key)
        return {name: next(iter(value.values())) for name, value in found.get("Item", {}).items()}

    def puts(self, key: str) -> list[dict[str, Any]]:
        lines = (self.directory / "s3.jsonl").read_text().splitlines()
        return [line for line in map(json.loads, lines) if line["key"] == key]


class Gateway:
    """A thing's connection, and the file messages that come down it."""

    def __init__(self, client: aiomqtt.Client, thing: str) -> None:
        self._client, self._thing = client, thing

    async def say(self, *bodies: bytes) -> None:
        for body in bodies:
            await self._client.publish(f"hg/v1/{self._thing}/up/file", body, qos=1)

    async def hear(self, kind: str) -> dict[str, Any]:
        async with asyncio.timeout(WAIT_S):
            async for message in self._client.messages:
                assert isinstance(message.payload, bytes)
                if str(message.topic).endswith("/dn/file"):
                    found: dict[str, Any] = json.loads(message.payload)
                    if found["kind"] == "urls" != kind:
                        continue  # pages that came in several batches are answered several times
                    assert found["kind"] == kind, found
                    return found
        raise AssertionError("the connection ended")

    async def announce(self, file: File) -> None:
        topic = f"$aws/rules/hg_ingest_v1/hg/v1/{self._thing}/up/reports/json"
        await self._client.publish(topic, file.announcement(), qos=1)
        async with asyncio.timeout(WAIT_S):
            async for message in self._client.messages:
                if str(message.topic).endswith("/dn/ack"):
                    return

    async def ask(self, file: File) -> dict[str, Any]:
        """The list of URLs for what is not there yet."""
        await self.say(*file.pages())
        return get_list((await self.hear("urls"))["list"])


def get_list(url: str) -> dict[str, Any]:
    where = urllib.parse.urlsplit(url)
    connection = http.client.HTTPConnection(where.netloc, timeout=WAIT_S)
    try:
        connection.request("GET", f"{where.path}?{where.query}")
        answer = connection.getresponse()
        assert answer.status == 200
        found: dict[str, Any] = json.loads(answer.read())
    finally:
        connection.close()
    return found


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    directory = tmp_path_factory.mktemp("cloud")
    things = ",".join(f"gw-{n}" for n in range(1, 10))
    with started(directory, "--parameter", "RetryAfterS=3", things=things) as process:
        wait_until_ready(process)
        # The handlers' log goes on to the same pipe; unread it would fill up and block.
        with ThreadPoolExecutor(1) as drain:
            assert process.stdout is not None
            drain.submit(process.stdout.read)
            try:
                yield Cloud(directory, json.loads((directory / "cloud.json").read_text()))
            finally:
                process.send_signal(signal.SIGTERM)
                returncode = process.wait(30)
    assert returncode == 0


def tell(cloud: Cloud, thing: str, story: Callable[[Gateway], Any]) -> Any:
    """Run a story on a connection of `thing`."""

    async def whole() -> Any:
        identity = cloud.facts["things"][thing]
        certificate = Identity(Path(identity["cert"]), Path(identity["key"]))
        context = client_context(Path(cloud.facts["ca"]), certificate)
        broker = cloud.facts["broker"]
        async with aiomqtt.Client(broker["host"], broker["port"], tls_context=context) as client:
            await client.subscribe(f"hg/v1/{thing}/dn/#", qos=0)
            return await story(Gateway(client, thing))

    return asyncio.run(whole())


def asked(cloud: Cloud, file: File) -> dict[str, Any]:
    """Announce a file and ask for its URLs."""

    async def story(gateway: Gateway) -> dict[str, Any]:
        await gateway.announce(file)
        return await gateway.ask(file)

    found: dict[str, Any] = tell(cloud, file.thing, story)
    return found


def test_a_file_is_uploaded_completed_and_confirmed_once(cloud: Cloud) -> None:
    file = a_file("gw-1", parts=3)

    async def story(gateway: Gateway) -> None:
        await gateway.announce(file)
        assert cloud.row(file)["state"] == "announced"
        found = await gateway.ask(file)
        assert (found["done"], sorted(found["urls"])) == ([], ["1", "2", "3"])
        for number in (3, 1):
            assert put(found["urls"][str(number)], file.pieces[number - 1]) == (200, "")
        again = await gateway.ask(file)  # after a restart: S3 says what it holds
        assert (again["upload_id"], again["done"], list(again["urls"])) == (found["upload_id"], [1, 3], ["2"])
        await gateway.say(file.sent(found["upload_id"]))
        assert (await gateway.hear("refused"))["code"] == "no_such_upload"  # a part is missing
        assert put(again["urls"]["2"], file.pieces[1]) == (200, "")
        await gateway.say(*2 * [file.sent(found["upload_id"])])
        first, second = await gateway.hear("confirmed"), await gateway.hear("confirmed")
        assert first == second
        assert (first["sha256"], first["key"]) == (file.composite, f"gw-1/{file.file_id}/one.bin")

    tell(cloud, "gw-1", story)
    row = cloud.row(file)
    assert row["state"] == "complete"
    body = cloud.client("s3").get_object(Bucket=cloud.facts["bucket"], Key=row["key"])["Body"].read()
    assert body == b"".join(file.pieces)
    puts = cloud.puts(row["key"])
    assert sorted((p["part"], p["status"], p["received_bytes"]) for p in puts) == [
        (n, 200, len(piece)) for n, piece in enumerate(file.pieces, 1)
    ]
    counters = control.ask(cloud.directory, "counters")["counters"]
    assert counters["s3_parts_stored"] >= 3
    assert counters["s3_parts_again"] == 0


def other_query(url: str, name: str, value: str) -> str:
    where = urllib.parse.urlsplit(url)
    query = dict(urllib.parse.parse_qsl(where.query))
    assert name in query
    return where._replace(query=urllib.parse.urlencode({**query, name: value})).geturl()


def test_a_url_is_good_for_what_was_signed_and_for_nothing_else(cloud: Cloud) -> None:
    file, other = a_file("gw-2"), a_file("gw-3")
    url = asked(cloud, file)["urls"]["1"]
    foreign = asked(cloud, other)
    piece, another = file.pieces[0], b"x" * PART_BYTES
    right = {"x-amz-checksum-sha256": sha256(piece)}
    signature = dict(urllib.parse.parse_qsl(urllib.parse.urlsplit(url).query))["X-Amz-Signature"]
    flipped = ("1" if signature[0] == "0" else "0") + signature[1:]
    moved = url.replace(f"/gw-2/{file.file_id}", f"/gw-3/{other.file_id}")
    assert moved != url
    moved = other_query(moved, "uploadId", foreign["upload_id"])
    attempts = {
        "tampered signature": put(other_query(url, "X-Amz-Signature", flipped), piece, headers=right),
        "longer life": put(other_query(url, "X-Amz-Expires", "86400"), piece, headers=right),
        "another part": put(other_query(url, "partNumber", "2"), piece, headers=right),
        "another device's key": put(moved, piece, headers=right),
        "other bytes": put(url, another, headers=right),
        "other bytes, honest checksum": put(url, another),
        "missing signed header": put(url, piece, headers={}),
        "unsigned header": put(url, piece, headers={**right, "x-amz-acl": "public-read"}),
        "another method": put(url, piece, method="POST", headers=right),
        "deletion": put(url, b"", method="DELETE", headers=right),
        "no signature at all": put(url.partition("?")[0], piece, headers=right),
    }
    assert attempts == {
        "tampered signature": (403, "SignatureDoesNotMatch"),
        "longer life": (403, "SignatureDoesNotMatch"),
        "another part": (403, "SignatureDoesNotMatch"),
        "another device's key": (403, "SignatureDoesNotMatch"),
        "other bytes": (400, "BadDigest"),
        "other bytes, honest checksum": (403, "SignatureDoesNotMatch"),
        "missing signed header": (403, "SignatureDoesNotMatch"),
        "unsigned header": (403, "AccessDenied"),
        "another method": (403, "SignatureDoesNotMatch"),
        "deletion": (403, "SignatureDoesNotMatch"),
        "no signature at all": (403, "AccessDenied"),
    }
    s3, row = cloud.client("s3"), cloud.row(file)
    held = s3.list_parts(Bucket=cloud.facts["bucket"], Key=row["key"], UploadId=row["upload_id"])
    assert "Parts" not in held
    assert put(url, piece) == (200, "")


def test_urls_expire_and_are_made_anew(cloud: Cloud) -> None:
    file = a_file("gw-4")
    found = asked(cloud, file)
    assert put(found["urls"]["2"], file.pieces[1]) == (200, "")
    control.ask(cloud.directory, "s3_expire")
    assert put(found["urls"]["1"], file.pieces[0]) == (403, "AccessDenied")

    async def story(gateway: Gateway) -> None:
        while True:  # URLs are dated in whole seconds, and those of the second of the expiry are gone too
            await gateway.say(*file.pages())
            answer = await gateway.hear("urls")
            status, _ = put(answer["list"], b"", method="GET", headers={})
            if status != 200:
                continue
            again = get_list(answer["list"])
            assert (again["upload_id"], again["done"]) == (found["upload_id"], [2])
            # The parts' URLs are signed before the list's: theirs may be of the second before.
            if put(again["urls"]["1"], file.pieces[0]) == (200, ""):
                break
        await gateway.say(file.sent(found["upload_id"]))
        await gateway.hear("confirmed")

    tell(cloud, "gw-4", story)


def test_outages_of_s3_cost_time_and_no_part(cloud: Cloud) -> None:
    file = a_file("gw-5")
    found = asked(cloud, file)
    control.ask(cloud.directory, "s3_refuse")
    assert put(found["urls"]["1"], file.pieces[0]) == (503, "SlowDown")
    control.ask(cloud.directory, "s3_cut")
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        put(found["urls"]["1"], file.pieces[0])
    control.ask(cloud.directory, "s3_serve")
    control.ask(cloud.directory, "s3_cut_part")
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        put(found["urls"]["1"], file.pieces[0])
    assert put(found["urls"]["1"], file.pieces[0]) == (200, "")
    puts = [p for p in cloud.puts(cloud.row(file)["key"]) if p["part"] == 1]
    assert [p["status"] for p in puts][-2:] == [0, 200]
    assert puts[-2]["received_bytes"] == PART_BYTES // 2
    assert {p["status"] for p in puts[:-2]} <= {0, 503}


def test_what_was_sent_by_another_way_is_refused_by_the_completer(cloud: Cloud) -> None:
    """Nobody but the cloud can put a part without its URL; where somebody did, the file is not confirmed."""
    file = a_file("gw-6")
    found = asked(cloud, file)
    s3, row = cloud.client("s3"), cloud.row(file)
    where = {"Bucket": cloud.facts["bucket"], "Key": row["key"], "UploadId": row["upload_id"]}
    for number, piece in enumerate((bytes(PART_BYTES), file.pieces[1]), 1):
        s3.upload_part(**where, PartNumber=number, Body=piece, ChecksumSHA256=sha256(piece))

    async def story(gateway: Gateway) -> None:
        await gateway.say(file.sent(found["upload_id"]))
        assert (await gateway.hear("refused"))["code"] == "mismatch"
        anew = await gateway.ask(file)
        assert anew["upload_id"] != found["upload_id"]

    tell(cloud, "gw-6", story)
    uploads = s3.list_multipart_uploads(Bucket=where["Bucket"])["Uploads"]
    assert row["upload_id"] not in [upload["UploadId"] for upload in uploads]


def test_an_upload_that_vanished_begins_anew_and_no_thing_finishes_anothers(cloud: Cloud) -> None:
    file = a_file("gw-7")
    found = asked(cloud, file)
    row = cloud.row(file)
    cloud.client("s3").abort_multipart_upload(
        Bucket=cloud.facts["bucket"], Key=row["key"], UploadId=row["upload_id"]
    )
    assert put(found["urls"]["1"], file.pieces[0]) == (404, "NoSuchUpload")

    async def foreign(gateway: Gateway) -> None:
        await gateway.say(*file.pages())
        assert (await gateway.hear("refused"))["code"] == "unknown"
        await gateway.say(file.sent(found["upload_id"]))
        assert (await gateway.hear("refused"))["code"] == "unknown"

    async def own(gateway: Gateway) -> Sequence[str]:
        await gateway.say(file.sent(found["upload_id"]))
        assert (await gateway.hear("refused"))["code"] == "no_such_upload"
        again = await gateway.ask(file)
        assert again["done"] == []
        return str(again["upload_id"])

    tell(cloud, "gw-8", foreign)
    assert tell(cloud, "gw-7", own) != found["upload_id"]


def test_a_thing_cannot_speak_for_another(cloud: Cloud) -> None:
    file = a_file("gw-9")

    async def spy(gateway: Gateway) -> None:
        gateway._thing = "gw-1"
        await gateway.say(b"{}", file.sent("u"))
        gateway._thing = "gw-9"
        await gateway.say(file.sent("u"))
        assert (await gateway.hear("refused"))["file_id"] == file.file_id

    tell(cloud, "gw-9", spy)
