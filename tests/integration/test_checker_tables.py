"""The checker against real files and a DynamoDB that speaks HTTP."""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from gateway_sim.checker.__main__ import main
from gateway_sim.checker.arrived import double_of
from gateway_sim.checker.checker import Checker
from gateway_sim.checker.served import RegisterDecoder, ServedRecords
from gateway_sim.checker.tables import Cloud
from gateway_sim.devices import plantfile
from gateway_sim.devices.layout import plant_room
from gateway_sim.devices.plantfile import Device, Plant, PlantError, served_path
from gateway_sim.devices.registers import encode

BLOCK = plant_room(1)[2].blocks[0]
GROUP = BLOCK.group
START_MS = 1_763_685_600_000
EPOCH = "8c0f3a5b77d01e42"


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def tables(endpoint: str) -> Iterator[Any]:
    key = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    db = boto3.client("dynamodb", endpoint_url=endpoint, **key)
    for name, hash_key, range_key in (("Envelopes", "stream_key", "seq"), ("Rejected", "id", None)):
        keys = [(hash_key, "S", "HASH")] + ([(range_key, "N", "RANGE")] if range_key else [])
        db.create_table(
            TableName=name,
            AttributeDefinitions=[{"AttributeName": at, "AttributeType": kind} for at, kind, _ in keys],
            KeySchema=[{"AttributeName": at, "KeyType": role} for at, _, role in keys],
            BillingMode="PAY_PER_REQUEST",
        )
    s3 = boto3.client("s3", endpoint_url=endpoint, **key)
    s3.create_bucket(Bucket="archive")
    s3.close()
    yield db
    for name in ("Envelopes", "Rejected"):
        db.delete_table(TableName=name)
    db.close()


@pytest.fixture
def plant(tmp_path: Path) -> Path:
    device = Device("boiler", "rtu", 7, (GROUP,), path="-", baudrate=19200)
    plantfile.write(Plant(1, START_MS, (device,)), tmp_path)
    return tmp_path


def serve(directory: Path, counts: range) -> None:
    with served_path(directory, "boiler").open("a") as record:
        for count in counts:
            registers = encode(GROUP.tags, [count, *BLOCK.sample(float(count))])
            row = {"t_ms": START_MS + 1000 * count, "group": "main", "count": count, "registers": registers}
            record.write(json.dumps(row) + "\n")


def envelope(seq: int, count: int) -> bytes:
    raws = RegisterDecoder(GROUP)(encode(GROUP.tags, [count, *BLOCK.sample(float(count))]))
    columns = {}
    for tag, raw in zip(GROUP.tags, raws, strict=True):
        assert isinstance(raw, int)
        value = double_of(raw) if tag.decimals is None else raw
        columns[f"boiler/{tag.name}"] = {"u": tag.unit, "k": "f64", "d": tag.decimals, "t": 0, "v": [value]}
    head = {"v": 1, "kind": "samples", "stream": "live", "epoch": EPOCH, "seq": seq}
    return json.dumps({**head, "times": [[START_MS + 1000 * count + 2]], "columns": columns}).encode()


def archived(db: Any, key: str, body: bytes) -> None:
    """One envelope, as ingest's object of one line."""
    key_of = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "us-east-1"}
    s3 = boto3.client("s3", endpoint_url=db.meta.endpoint_url, **key_of)
    line = json.dumps({"body": body.decode()}) + "\n"
    s3.put_object(Bucket="archive", Key=key, Body=gzip.compress(line.encode()))
    s3.close()


def store(db: Any, seq: int, body: bytes, *, thing: str = "gw", digest: str = "") -> None:
    archived(db, f"{thing}-{seq}", body)
    item = {
        "stream_key": {"S": f"{thing}/live/{EPOCH}"},
        "seq": {"N": str(seq)},
        "object": {"S": f"{thing}-{seq}"},
        "line": {"N": "0"},
        "received_ms": {"N": str(START_MS)},
        "digest": {"S": digest or hashlib.sha256(body).hexdigest()},
    }
    db.put_item(TableName="Envelopes", Item=item)


def test_each_look_reads_what_is_new(tables: Any, endpoint: str, plant: Path) -> None:
    checker = Checker(plant, Cloud(endpoint), thing="gw")
    serve(plant, range(1, 4))
    store(tables, 1, envelope(1, 1))
    store(tables, 3, envelope(3, 3))
    store(tables, 1, envelope(1, 1), thing="another")
    checker.look()
    first = checker.result(0, START_MS * 2)
    assert (first.telemetry.lost, first.telemetry.doubled, first.cloud.gaps) == (len(GROUP.tags), 0, 1)
    store(tables, 2, envelope(2, 2))
    serve(plant, range(4, 5))
    store(tables, 4, envelope(4, 4))
    checker.look()
    checker.look()
    second = checker.result(0, START_MS * 2)
    assert second.telemetry.ok
    assert (second.telemetry.served, second.telemetry.doubled) == (4 * len(GROUP.tags), 0)
    assert (second.cloud.envelopes, second.cloud.gaps, second.cloud.ok) == (4, 0, True)


def test_bodies_that_are_not_what_their_row_says(tables: Any, endpoint: str, plant: Path) -> None:
    serve(plant, range(1, 2))
    store(tables, 1, envelope(1, 1))
    store(tables, 2, envelope(2, 1), digest="0" * 64)
    store(tables, 3, envelope(4, 1))
    store(tables, 5, b"{")
    tables.put_item(
        TableName="Rejected",
        Item={"id": {"S": "d"}, "topic": {"S": "hg/v1/gw/up/live/json"}, "why": {"S": "no"}},
    )
    checker = Checker(plant, Cloud(endpoint))
    checker.look()
    cloud = checker.result(0, START_MS * 2).cloud
    assert (cloud.unreadable, cloud.rejected, cloud.ok) == (3, 1, False)
    assert cloud.examples["rejected"] == ("hg/v1/gw/up/live/json: no",)
    assert "its header says live/8c0f3a5b77d01e42 seq 4" in cloud.examples["unreadable"][1]


def test_a_flawed_body_counts_only_once_a_sound_one_took_its_place(
    tables: Any, endpoint: str, plant: Path
) -> None:
    serve(plant, range(1, 2))
    key = {"stream_key": {"S": f"gw/live/{EPOCH}"}, "seq": {"N": "1"}}
    flawed = {"object": {"S": "none"}, "line": {"N": "0"}, "digest": {"S": "0"}, "rejected": {"S": "no"}}
    tables.put_item(TableName="Envelopes", Item={**key, **flawed})
    checker = Checker(plant, Cloud(endpoint))
    checker.look()
    assert checker.result(0, START_MS * 2).cloud.envelopes == 0
    store(tables, 1, envelope(1, 1))
    checker.look()
    assert checker.result(0, START_MS + 5000).ok


def test_the_command(tables: Any, endpoint: str, plant: Path, capsys: pytest.CaptureFixture[str]) -> None:
    serve(plant, range(1, 3))
    store(tables, 1, envelope(1, 1))
    command = ["--plant", str(plant), "--endpoint", endpoint, "--until", str(START_MS + 5000)]
    assert main([*command, "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["telemetry"]["lost"] == len(GROUP.tags)
    store(tables, 2, envelope(2, 2))
    cloud = plant / "cloud.json"
    described = {
        "aws_endpoint": endpoint,
        "s3_endpoint": endpoint,
        "region": "us-east-1",
        "tables": {},
        "archive": "archive",
        "credentials": {"access_key": "test"},
    }
    cloud.write_text(json.dumps(described))
    command[2:4] = ["--cloud", str(cloud)]
    assert main(command) == 0
    assert "telemetry  ok  served 40  arrived 40" in capsys.readouterr().out


def test_no_tables_and_no_plant_are_said_in_a_line(
    endpoint: str, plant: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--plant", str(plant), "--endpoint", endpoint]) == 2
    assert "cannot read table Envelopes at http://127.0.0.1" in capsys.readouterr().err
    served_path(plant, "boiler").write_text('{"t_ms": 1, "group": "attic", "count": 1, "registers": []}\n')
    with pytest.raises(PlantError, match="did another plant use this directory"):
        list(ServedRecords(plantfile.read(plant), plant).new())
    assert main(["--plant", str(plant), "--cloud", str(tmp_path / "none")]) == 2
    assert "describes no simulated cloud" in capsys.readouterr().err
    assert main(["--plant", str(tmp_path / "none"), "--endpoint", endpoint]) == 2
    assert "is the plant running" in capsys.readouterr().err
