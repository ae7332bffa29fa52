"""The partition keys that a call to DynamoDB names: the condition key `dynamodb:LeadingKeys`.

DynamoDB developer guide, "Using IAM policy conditions for fine-grained access control": the values are those of the
partition key, one or many; a batch is judged for each of its tables, a transaction for each of its parts; for a query
of an index they are those of the index's partition key. A scan names none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from moto.dynamodb.models import dynamodb_backends

from testbed.aws.template import ACCOUNT, REGION

LEADING_KEYS = "dynamodb:LeadingKeys"


def leading_keys(table: str, asked: Any) -> dict[str, tuple[str, ...]]:
    """Return the context of a call for IAM.

    Args:
        table: The name of the table.
        asked: The arguments of a call on one table, the part of a batch for it, or one part of a transaction.

    Returns:
        The key `dynamodb:LeadingKeys` with the values that the call names; nothing without any, or without the table.
    """
    if table not in dynamodb_backends[ACCOUNT][REGION].tables:
        return {}
    name = _partition_key(table, asked.get("IndexName") if isinstance(asked, dict) else None)
    found = tuple(sorted({text for item in _items(asked, name) for text in item[name].values()}))
    return {LEADING_KEYS: found} if found else {}


def _partition_key(table: str, index: str | None) -> str:
    found = dynamodb_backends[ACCOUNT][REGION].tables[table]
    if index is None:
        return found.hash_key_attr
    schema = found.get_index(index, error_if_not=True).schema
    return next(str(part["AttributeName"]) for part in schema if part["KeyType"] == "HASH")


def _items(asked: Any, name: str) -> Iterator[Mapping[str, Any]]:
    """Yield the objects with partition keys: keys of items, items, and the value in a query's condition."""
    match asked:
        case [*writes]:  # BatchWriteItem
            for write in writes:
                yield from (inside.get("Key") or inside["Item"] for inside in write.values())
        case {"Keys": read}:  # BatchGetItem
            yield from read
        case {"Key": key}:
            yield key
        case {"Item": item}:
            yield item
        case {"KeyConditionExpression": condition}:
            equal = re.search(rf"(?<![\w#]){re.escape(name)}\s*=\s*(:\w+)", condition)
            yield {name: asked["ExpressionAttributeValues"][equal[1]]} if equal else {name: {}}
