"""Count calls of AWS, and the units that DynamoDB charges for them.

Units are those of the DynamoDB developer guide ("Read and write operations"): a write unit per KiB of the larger of the
row before and after, two in a transaction; a read unit per 4 KiB of a consistent read of a row or of a page, two in a
transaction. moto reports none of this.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import ceil
from threading import Lock
from typing import Any
from unittest import mock

from botocore.client import BaseClient

from testbed.aws.dynamodb import size
from vaultwatch.store.dynamodb import schema

_Row = Mapping[str, Any]


class Meter:
    """What the calls within `metering` took. They are made one at a time, because moto's backends are not thread-safe.

    Attributes:
        calls: The number of calls by operation.
        write_units: Write units of successful calls.
        partition_units: Those of each partition key.
        read_units: Read units of reads by key and of queries.
    """

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.partition_units: Counter[str] = Counter()
        self.write_units = self.read_units = 0
        self._rows: dict[tuple[str, str], _Row] = {}
        self._lock = Lock()

    @property
    def stored_bytes(self) -> int:
        """The bytes of all rows that are stored now, without indexes."""
        return sum(size(_values(row)) for row in self._rows.values())

    @contextmanager
    def metering(self) -> Iterator[None]:
        """Count the calls of all clients of botocore."""
        original = BaseClient._make_api_call  # type: ignore[attr-defined]

        def call(client: Any, operation: str, arguments: Any) -> Any:
            with self._lock:
                self.calls[operation] += 1
                answer = original(client, operation, arguments)
                getattr(self, f"_{operation}", _nothing)(arguments, answer)
                return answer

        with mock.patch.object(BaseClient, "_make_api_call", call):
            yield

    def _TransactWriteItems(self, arguments: Any, _: Any) -> None:  # noqa: N802 - DynamoDB's name
        for action in arguments["TransactItems"]:
            ((kind, given),) = action.items()
            self._write(given["Item"] if kind == "Put" else given["Key"], kind == "Put", factor=2)

    def _PutItem(self, arguments: Any, _: Any) -> None:  # noqa: N802 - DynamoDB's name
        self._write(arguments["Item"], True, factor=1)

    def _BatchGetItem(self, arguments: Any, answer: Any) -> None:  # noqa: N802 - DynamoDB's name
        rows = [row for of_table in answer["Responses"].values() for row in of_table]
        missing = sum(len(of_table["Keys"]) for of_table in arguments["RequestItems"].values()) - len(rows)
        self.read_units += missing + sum(map(_of_4_kib, rows))

    def _TransactGetItems(self, _: Any, answer: Any) -> None:  # noqa: N802 - DynamoDB's name
        self.read_units += sum(2 * _of_4_kib(one.get("Item", {})) for one in answer["Responses"])

    def _Query(self, arguments: Any, _: Any) -> None:  # noqa: N802 - DynamoDB's name
        """Count what is read, also if a filter excludes it; of rows that were written here, in one page."""
        values = {name: next(iter(value.values())) for name, value in arguments["ExpressionAttributeValues"].items()}
        read = [row for (pk, sk), row in self._rows.items() if pk == values[":pk"] and _is_between(sk, values)]
        self.read_units += _of_4_kib(*read)

    def _write(self, item: _Row, is_put: bool, *, factor: int) -> None:
        key = item[schema.PARTITION_KEY]["S"], item[schema.SORT_KEY]["S"]
        before, after = self._rows.pop(key, None), item if is_put else None
        if after is not None:
            self._rows[key] = after
        units = factor * max(_kib(before), _kib(after))
        self.write_units += units
        self.partition_units[key[0]] += units


def _kib(row: _Row | None) -> int:
    return 1 if row is None else ceil(max(1, size(_values(row))) / 1024)


def _is_between(sort_key: str, values: Mapping[str, Any]) -> bool:
    return bool(values[":first"] <= sort_key <= values[":last"])


def _of_4_kib(*rows: _Row) -> int:
    return max(1, ceil(sum(size(_values(row)) for row in rows) / 4096))


def _values(row: _Row) -> dict[str, Any]:
    """Return a row without the names of types, which are not stored."""
    return {name: next(iter(value.values())) for name, value in row.items()}


def _nothing(arguments: Any, answer: Any) -> None:
    """Most operations cost no units."""
