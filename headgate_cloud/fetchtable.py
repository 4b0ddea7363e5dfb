"""The table Fetches (docs/requests.md): which announced files are wanted, in what order, and how far each is.

`open` is there while a fetch waits or runs, so the index Queue holds those alone, in the order of `rank`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from botocore.exceptions import ClientError

from headgate_cloud.tables import DynamoDB, Response

INDEX: Final = "Queue"
KEPT_S: Final = 7 * 24 * 3600  # once ended, for `headgate fetches list`
PRIORITIES: Final = (0, 9)  # 9 goes first
WAITING: Final = "waiting"
STARTED: Final = "started"
OPEN: Final = (STARTED, WAITING)


@dataclass(frozen=True, slots=True)
class Fetch:
    """A wanted file; `tries` counts those begun, `next_ms` is when it may be tried again."""

    thing: str
    file_id: str
    state: str
    priority: int
    tries: int
    next_ms: int
    started_ms: int
    asked_ms: int
    by: str
    why: str


@dataclass(frozen=True, slots=True)
class FetchTable:
    """Raises botocore's ClientError and BotoCoreError as they come."""

    client: DynamoDB
    table: str

    def want(self, thing: str, file_id: str, priority: int, *, by: str, now_ms: int) -> bool:
        """Put a file into the queue; False where it was wanted before, however that ended."""
        item: dict[str, object] = {
            "thing": {"S": thing},
            "file_id": {"S": file_id},
            "state": {"S": WAITING},
            "open": {"S": WAITING},
            "rank": {"S": rank(priority, now_ms)},
            "priority": {"N": str(priority)},
            "asked_ms": {"N": str(now_ms)},
            "by": {"S": by},
        }
        try:
            self.client.put_item(
                TableName=self.table, Item=item, ConditionExpression="attribute_not_exists(thing)"
            )
        except ClientError as error:
            return _lost(error)
        return True

    def renew(self, thing: str, file_id: str, priority: int, *, by: str, now_ms: int) -> bool:
        """An operator asks: as `want`, and again for one that has ended or waits out a pause; False where it
        runs already."""
        if self.want(thing, file_id, priority, by=by, now_ms=now_ms):
            return True
        sets = {
            "state": {"S": WAITING},
            "open": {"S": WAITING},
            "rank": {"S": rank(priority, now_ms)},
            "priority": {"N": str(priority)},
            "asked_ms": {"N": str(now_ms)},
            "tries": {"N": "0"},
            "next_ms": {"N": "0"},
            "by": {"S": by},
            "why": {"S": ""},
        }
        return self._change(thing, file_id, sets, "#state <> :was", {":was": {"S": STARTED}}, ("expires_s",))

    def queue(self, state: str) -> Iterator[Fetch]:
        """Those waiting, or those started, the first in rank first; the index may be a moment behind."""
        start: Mapping[str, object] = {}
        while True:
            page = self.client.query(
                TableName=self.table,
                IndexName=INDEX,
                KeyConditionExpression="#open = :state",
                ExpressionAttributeNames={"#open": "open"},
                ExpressionAttributeValues={":state": {"S": state}},
                **start,
            )
            yield from map(fetch, page["Items"])
            if "LastEvaluatedKey" not in page:
                return
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def start(self, found: Fetch, now_ms: int) -> bool:
        """Take a slot; False where another handler did, or it was cancelled."""
        sets = {
            "state": {"S": STARTED},
            "open": {"S": STARTED},
            "tries": {"N": str(found.tries + 1)},
            "started_ms": {"N": str(now_ms)},
        }
        return self._change(found.thing, found.file_id, sets, "#state = :was", {":was": {"S": WAITING}})

    def again(self, found: Fetch, next_ms: int, why: str, *, tries: int) -> bool:
        """Back to waiting, until `next_ms` at least."""
        sets = {
            "state": {"S": WAITING},
            "open": {"S": WAITING},
            "tries": {"N": str(tries)},
            "next_ms": {"N": str(next_ms)},
            "why": {"S": why},
        }
        return self._change(found.thing, found.file_id, sets, "#state = :was", {":was": {"S": found.state}})

    def end(self, thing: str, file_id: str, state: str, why: str, now_ms: int) -> bool:
        """Done, failed or cancelled; False where it is not open."""
        sets = {
            "state": {"S": state},
            "why": {"S": why},
            "expires_s": {"N": str(now_ms // 1000 + KEPT_S)},
        }
        return self._change(thing, file_id, sets, "attribute_exists(#open)", {}, ("open",))

    def all(self, thing: str) -> Iterator[Fetch]:
        """A gateway's, ended ones of the last days included."""
        start: Mapping[str, object] = {}
        while True:
            page = self.client.query(
                TableName=self.table,
                KeyConditionExpression="thing = :thing",
                ExpressionAttributeValues={":thing": {"S": thing}},
                **start,
            )
            yield from map(fetch, page["Items"])
            if "LastEvaluatedKey" not in page:
                return
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    def _change(
        self,
        thing: str,
        file_id: str,
        sets: Mapping[str, object],
        condition: str,
        values: Mapping[str, object],
        removed: tuple[str, ...] = (),
    ) -> bool:
        # Some are words of DynamoDB's own, so every name is escaped.
        expression = "SET " + ", ".join(f"#{name} = :{name}" for name in sets)
        if removed:
            expression += " REMOVE " + ", ".join(f"#{name}" for name in removed)
        names = {*sets, *removed, *(name for name in ("state", "open") if f"#{name}" in condition)}
        try:
            self.client.update_item(
                TableName=self.table,
                Key={"thing": {"S": thing}, "file_id": {"S": file_id}},
                UpdateExpression=expression,
                ConditionExpression=condition,
                ExpressionAttributeNames={f"#{name}": name for name in sorted(names)},
                ExpressionAttributeValues={**{f":{name}": value for name, value in sets.items()}, **values},
            )
        except ClientError as error:
            return _lost(error)
        return True


def rank(priority: int, asked_ms: int) -> str:
    """Sorts by priority, the highest first, then by age; raises ValueError for no priority."""
    if not PRIORITIES[0] <= priority <= PRIORITIES[1]:
        raise ValueError(f"{priority} is no priority: {PRIORITIES[0]} to {PRIORITIES[1]}")
    return f"{PRIORITIES[1] - priority}/{asked_ms:015d}"


def fetch(item: Response) -> Fetch:
    """From DynamoDB's form."""

    def text(name: str) -> str:
        return str(item.get(name, {}).get("S", ""))

    def number(name: str) -> int:
        return int(item.get(name, {}).get("N", "0"))

    return Fetch(
        thing=text("thing"),
        file_id=text("file_id"),
        state=text("state"),
        priority=number("priority"),
        tries=number("tries"),
        next_ms=number("next_ms"),
        started_ms=number("started_ms"),
        asked_ms=number("asked_ms"),
        by=text("by"),
        why=text("why"),
    )


def _lost(error: ClientError) -> bool:
    """False for a condition that failed; any other error is raised again."""
    if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
        raise error
    return False
