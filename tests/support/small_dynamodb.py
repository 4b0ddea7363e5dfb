"""DynamoDB as far as the ingest uses it, in memory; moto takes too long for hours of outage.

Conditions are `attribute_(not_)exists(a)` and comparisons joined by OR; updates are SET of values and ADD.
What is not understood is an error.
"""

# ruff: noqa: N803  # the arguments' names are AWS's

from __future__ import annotations

import io
import operator
import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError

Row = dict[str, Any]
_CALL = re.compile(r"attribute_(not_)?exists\((\w+)\)")
_COMPARISON = re.compile(r"(\w+) (<=|<|=) (:\w+)")
_QUERY = re.compile(r"stream_key = (:\w+) AND seq > (:\w+)")
_COMPARE: dict[str, Callable[[Any, Any], bool]] = {"<": operator.lt, "<=": operator.le, "=": operator.eq}


class SmallDynamoDB:
    """The calls of boto3's low-level client. Tables are there as soon as they are named."""

    def __init__(self) -> None:
        self.tables: defaultdict[str, dict[tuple[Any, ...], Row]] = defaultdict(dict)
        self._keys: dict[str, tuple[str, ...]] = {}

    def create_table(self, *, TableName: str, KeySchema: list[dict[str, str]], **_: object) -> None:
        """Remember what its items are found by."""
        self._keys[TableName] = tuple(part["AttributeName"] for part in KeySchema)

    def put_item(
        self,
        *,
        TableName: str,
        Item: Row,
        ConditionExpression: str = "",
        ExpressionAttributeValues: Mapping[str, Any] | None = None,
        **_: object,
    ) -> Row:
        """See PutItem."""
        key = self._key(TableName, Item)
        self._check(self.tables[TableName].get(key), ConditionExpression, ExpressionAttributeValues or {})
        self.tables[TableName][key] = dict(Item)
        return {}

    def get_item(self, *, TableName: str, Key: Row, **_: object) -> Row:
        """See GetItem."""
        found = self.tables[TableName].get(self._key(TableName, Key))
        return {"Item": dict(found)} if found else {}

    def batch_get_item(self, *, RequestItems: Mapping[str, Any], **_: object) -> Row:
        """See BatchGetItem; all at once."""
        found = {
            table: [
                dict(row)
                for key in asked["Keys"]
                if (row := self.tables[table].get(self._key(table, key))) is not None
            ]
            for table, asked in RequestItems.items()
        }
        return {"Responses": found}

    def update_item(
        self,
        *,
        TableName: str,
        Key: Row,
        UpdateExpression: str,
        ConditionExpression: str = "",
        ExpressionAttributeValues: Mapping[str, Any],
        **_: object,
    ) -> Row:
        """See UpdateItem."""
        key, values = self._key(TableName, Key), ExpressionAttributeValues
        held = self.tables[TableName].get(key)
        self._check(held, ConditionExpression, values)
        row: Row = {**Key, **(held or {})}
        sets, adds = UpdateExpression.removeprefix("SET ").partition(" ADD ")[::2]
        for each in sets.split(", "):
            name, value = each.split(" = ")
            row[name] = values[value]
        for each in filter(None, adds.split(", ")):
            name, value = each.split(" ")
            total = int(row.get(name, {"N": "0"})["N"]) + int(values[value]["N"])
            row[name] = {"N": str(total)}
        self.tables[TableName][key] = row
        return {"Attributes": dict(row)}

    def query(
        self,
        *,
        TableName: str,
        KeyConditionExpression: str,
        ExpressionAttributeValues: Mapping[str, Any],
        **_: object,
    ) -> Row:
        """See Query; all in one page."""
        match = _QUERY.fullmatch(KeyConditionExpression)
        assert match is not None, KeyConditionExpression
        stream, after = (_plain(ExpressionAttributeValues[name]) for name in match.groups())
        found = sorted(key for key in self.tables[TableName] if key[0] == stream and key[1] > after)
        return {"Items": [dict(self.tables[TableName][key]) for key in found]}

    def _key(self, table: str, item: Row) -> tuple[Any, ...]:
        return tuple(_plain(item[name]) for name in self._keys[table])

    def _check(self, held: Row | None, condition: str, values: Mapping[str, Any]) -> None:
        if condition and not any(_holds(part, held or {}, values) for part in condition.split(" OR ")):
            answer = {"Error": {"Code": "ConditionalCheckFailedException", "Message": ""}, "Item": held}
            raise ClientError(answer, "a conditional call")


def _holds(condition: str, item: Row, values: Mapping[str, Any]) -> bool:
    if call := _CALL.fullmatch(condition):
        return (call[2] in item) is not bool(call[1])
    comparison = _COMPARISON.fullmatch(condition)
    assert comparison is not None, condition
    name, sign, value = comparison.groups()
    return name in item and _COMPARE[sign](_plain(item[name]), _plain(values[value]))


def _plain(value: Mapping[str, Any]) -> Any:
    return int(value["N"]) if "N" in value else value["S"]


class SmallS3:
    """Objects in memory, as far as the archive uses them."""

    def __init__(self) -> None:
        self.objects: dict[str, bytes] = {}

    def put_object(self, *, Key: str, Body: bytes, **_: object) -> None:
        """See PutObject."""
        self.objects[Key] = Body

    def get_object(self, *, Key: str, **_: object) -> Row:
        """See GetObject."""
        return {"Body": io.BytesIO(self.objects[Key])}
