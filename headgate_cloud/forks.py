"""Notices gateways whose state went back to an older copy: epochs that do not follow from what is held.

Each epoch names the one before and its last seq. The Streams row of the one before notes who named it
(`next_epoch`, `next_seq`), and each row the highest seq that came (`newest`); whichever is written last shows
the contradiction, in any order of arrival and with any number of handlers. Nothing is discarded for it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from botocore.exceptions import ClientError

from headgate_cloud.decoder import Previous
from headgate_cloud.tables import DynamoDB, Response

NAMESPACE: Final = "Headgate"  # of the metric, in CloudWatch's embedded metric format
METRIC: Final = "Forks"


@dataclass(frozen=True, slots=True)
class Seen:
    """What one batch showed of one epoch. `conflict`: a seq of it that came with another content."""

    thing: str
    stream: str
    epoch: str
    newest: int
    prev: Previous | None = None
    conflict: int | None = None

    def key(self, epoch: str) -> str:
        return f"{self.thing}/{self.stream}/{epoch}"


@dataclass(frozen=True, slots=True)
class Forks:
    """Over the Streams table; `say` gets one mapping for each fork found, which is also a metric."""

    client: DynamoDB
    streams: str
    say: Callable[[Mapping[str, object]], None]
    now_ms: Callable[[], int]

    def note(self, seen: Seen) -> str:
        """Take in what was seen; why its epoch is a fork, empty where it is none."""
        row = self._raise_newest(seen)
        forked: str = row.get("forked", {"S": ""})["S"]
        if "next_epoch" in row:
            after, named = row["next_epoch"]["S"], int(row["next_seq"]["N"])
            if int(row["newest"]["N"]) > named:
                self._mark(seen, after, _goes_back(seen.epoch, named, int(row["newest"]["N"])))
        why = self._contradiction(seen)
        if why and not forked:
            self._mark(seen, seen.epoch, why)
        return forked or why

    def _contradiction(self, seen: Seen) -> str:
        if seen.conflict is not None:
            return f"seq {seen.conflict} came with another content than the one held"
        if seen.prev is None:
            return ""
        before, seq = seen.prev.epoch, seen.prev.seq
        row, _ = self._update(
            seen.key(before),
            "SET next_epoch = :epoch, next_seq = :seq",
            "attribute_not_exists(next_epoch) OR next_epoch = :epoch",
            {":epoch": {"S": seen.epoch}, ":seq": {"N": str(seq)}},
        )
        if row["next_epoch"]["S"] != seen.epoch:
            return f"epoch {row['next_epoch']['S']} goes on from epoch {before} too"
        newest = int(row.get("newest", {"N": "0"})["N"])
        return _goes_back(before, seq, newest) if newest > seq else ""

    def _raise_newest(self, seen: Seen) -> Response:
        row, _ = self._update(
            seen.key(seen.epoch),
            "SET newest = :newest",
            "attribute_not_exists(newest) OR newest < :newest",
            {":newest": {"N": str(seen.newest)}},
        )
        return row

    def _mark(self, seen: Seen, epoch: str, why: str) -> None:
        """Note it in the epoch's row, and report it when it was not noted."""
        key = seen.key(epoch)
        values = {":why": {"S": why}}
        _, is_news = self._update(key, "SET forked = :why", "attribute_not_exists(forked)", values)
        if not is_news:
            return
        metric = {"Namespace": NAMESPACE, "Dimensions": [[]], "Metrics": [{"Name": METRIC, "Unit": "Count"}]}
        self.say(
            {
                "event": "forked",
                "stream": key,
                "why": why,
                METRIC: 1,
                "_aws": {"Timestamp": self.now_ms(), "CloudWatchMetrics": [metric]},
            }
        )

    def _update(
        self, key: str, expression: str, condition: str, values: Mapping[str, object]
    ) -> tuple[Response, bool]:
        """The row as it is then, and whether it was updated: the condition may have forbidden it."""
        try:
            done = self.client.update_item(
                TableName=self.streams,
                Key={"stream_key": {"S": key}},
                UpdateExpression=expression,
                ConditionExpression=condition,
                ExpressionAttributeValues=values,
                ReturnValues="ALL_NEW",
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
            )
        except ClientError as error:
            if error.response["Error"]["Code"] != "ConditionalCheckFailedException":
                raise
            return error.response["Item"], False
        return done["Attributes"], True


def _goes_back(before: str, named: int, newest: int) -> str:
    return f"it goes on from epoch {before} at seq {named}, of which seq {newest} is held"
