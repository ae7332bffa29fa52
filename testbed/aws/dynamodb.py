"""DynamoDB in moto, fast enough for tests and demo, and with two limits: on the size of a transaction, and of a number.

moto 5.2 copies every table for each item of a transaction, so that it can restore them. This patch copies only the
items that the transaction names, and restores those. In an answer, it looks for each of the ten types of a value under
several spellings, although a value has one type: half of the time of a test of the store. For a query it sorts all rows
of the table, and for each call it searches its own classes for methods.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from decimal import Decimal
from functools import cache
from typing import Any
from unittest.mock import patch

from moto.core import responses
from moto.core.serialize import BaseJSONSerializer
from moto.core.utils import method_names_from_class
from moto.dynamodb.exceptions import MockValidationException
from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.models.table import Table

_MOTO = DynamoDBBackend.transact_write_items
_QUERY = Table.query
_METHOD_NAMES = cache(method_names_from_class)
_SERIALIZE_MEMBER = BaseJSONSerializer._serialize_structure_member


# DynamoDB developer guide, "Constraints in Amazon DynamoDB"
MAX_TRANSACTION_BYTES = 4 * 1024 * 1024
MAX_DIGITS = 38


def size(value: Any) -> int:
    """Return the bytes of all names and values in a request: what is written, and what conditions compare."""
    if isinstance(value, Mapping):
        return sum(len(name) + size(one) for name, one in value.items())
    if isinstance(value, list):
        return sum(map(size, value))
    return len(value if isinstance(value, bytes) else str(value).encode())


def digits(item: Mapping[str, Any]) -> int:
    """Return the digits of the most precise number of an item."""
    return max((len(Decimal(one["N"]).as_tuple().digits) for one in item.values() if "N" in one), default=0)


@contextmanager
def fast_dynamodb() -> Iterator[None]:
    """Patch moto while the context is open."""
    with (
        patch.object(DynamoDBBackend, "transact_write_items", _transact),
        patch.object(BaseJSONSerializer, "_serialize_structure_member", _serialize_member),
        patch.object(Table, "query", _query),
        patch.object(responses, "method_names_from_class", _METHOD_NAMES),
    ):
        yield


def _serialize_member(serializer: Any, serialized: Any, value: Any, shape: Any, key: str) -> None:
    if shape.parent.name != "AttributeValue" or key in value:
        _SERIALIZE_MEMBER(serializer, serialized, value, shape, key)


def _query(table: Table, hash_key: Any, *given: Any, **named: Any) -> Any:
    """Query the rows of one partition; the table has no index."""
    with patch.object(table, "all_items", lambda: list(table.items.get(hash_key, {}).values())):
        return _QUERY(table, hash_key, *given, **named)


def _transact(backend: DynamoDBBackend, items: list[dict[str, Any]]) -> None:
    if size(items) > MAX_TRANSACTION_BYTES:
        raise MockValidationException("Transaction request is larger than 4 MiB")
    if any(digits(action.get("Item", {})) > MAX_DIGITS for item in items for action in item.values()):
        raise MockValidationException("Attempting to store more than 38 significant digits in a Number")
    touched = [(action["TableName"], _key(backend, action)) for item in items for action in item.values()]
    before = [copy.deepcopy(backend.get_item(*place)) for place in touched]
    with patch.object(Table, "__deepcopy__", lambda table, memo: table, create=True):
        try:
            _MOTO(backend, items)
        except BaseException:
            for (table, key), item in zip(touched, before, strict=True):
                backend.delete_item(table, key)
                if item:
                    backend.put_item(table, item.to_json()["Attributes"])
            raise


def _key(backend: DynamoDBBackend, action: Mapping[str, Any]) -> dict[str, Any]:
    table, given = backend.get_table(action["TableName"]), action.get("Key") or action["Item"]
    return {name: given[name] for name in (table.hash_key_attr, table.range_key_attr) if name}
