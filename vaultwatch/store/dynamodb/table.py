"""One DynamoDB table through botocore: rows by key, conditional transactions, and queries of an index.

Every row has the keys `pk` and `sk` and its content as JSON in `body`. A change names the body that it replaces: if the
row has another one by then, nothing of its transaction is written.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from vaultwatch.backoff import Backoff
from vaultwatch.store import StoreError, StoreRefused
from vaultwatch.store.dynamodb.schema import PARTITION_KEY, SORT_KEY, VERSION, Key

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Item = dict[str, Any]

MAX_ACTIONS = 100
MAX_TRANSACTION_BYTES = 3_500_000  # of 4 MiB, which count names and conditions too
_MAX_READ = 100
_MAX_DELETED = 25
_PAGE = 90
_BATCH_ATTEMPTS = 10
_BATCH_BACKOFF = Backoff(first_seconds=0.05, longest_seconds=1.0)
_PASSING = {
    "None",
    "ConditionalCheckFailed",
    "TransactionConflict",
    "ThrottlingError",
    "ProvisionedThroughputExceeded",
    "RequestLimitExceeded",
}


class Conflict(Exception):
    """A concurrent writer was faster, or DynamoDB throttled the call; nothing was changed."""


class Row(msgspec.Struct, frozen=True):
    """A row to write. If `guarded`, the present row must have the body `seen` (None: there must be no row).

    `marks` are the numbers and texts of indexes and expiry.
    """

    key: Key
    body: bytes
    seen: bytes | None
    marks: Mapping[str, str | float | int] = {}
    guarded: bool = True


class Gone(msgspec.Struct, frozen=True):
    """A row to delete; if `guarded`, only if it still has the body that was read."""

    key: Key
    seen: bytes | None
    guarded: bool = True


class Table:
    """The table `name`, accessed with `client`. If DynamoDB fails, every method raises `StoreError`."""

    def __init__(self, client: DynamoDBClient, name: str, sleep: Callable[[float], object] = time.sleep) -> None:
        self._client = client
        self._name = name
        self._sleep = sleep

    def read(self, keys: Iterable[Key]) -> dict[Key, Item]:
        """Return the rows with these keys, with consistent reads."""
        found: dict[Key, Item] = {}
        for some in _portions(list(dict.fromkeys(keys)), _MAX_READ):
            request: Mapping[str, Any] = {self._name: {"Keys": [_key(key) for key in some], "ConsistentRead": True}}
            for answer in self._answers(self._client.batch_get_item, request, "UnprocessedKeys"):
                for item in answer["Responses"].get(self._name, []):
                    found[key_of(item)] = item
        return found

    def write(self, actions: Sequence[Row | Gone]) -> None:
        """Write everything or nothing; raises `Conflict` if a row differs from what was read."""
        if not actions:
            return
        with _asking():
            self._client.transact_write_items(TransactItems=[self._action(action) for action in actions])

    def put(self, row: Row) -> None:
        """Write one row, whatever it replaces."""
        with _asking():
            self._client.put_item(TableName=self._name, Item=_item(row))

    def change(self, key: Key, expression: str, values: Mapping[str, float]) -> None:
        """Change numbers of a row, if it exists."""
        try:
            with _asking():
                self._client.update_item(
                    TableName=self._name,
                    Key=_key(key),
                    UpdateExpression=expression,
                    ConditionExpression=f"attribute_exists({PARTITION_KEY})",
                    ExpressionAttributeValues=_values(values),
                )
        except Conflict:
            return

    def unite(
        self, key: Key, sets: Mapping[str, Sequence[bytes]], marks: Mapping[str, float], *, unless: str
    ) -> dict[str, list[bytes]] | None:
        """Add elements to sets of a row, which is made if there is none.

        Args:
            key: The row.
            sets: The elements to add, by the names of the sets; none may be empty.
            marks: Numbers to set.
            unless: If the row has this attribute, it is not changed.

        Returns:
            The sets as they are now; None if the row was not changed.
        """
        numbers = {f":{name}": value for name, value in marks.items()}
        values = {f":{name}": {"BS": list(elements)} for name, elements in sets.items()}
        added, assigned = (", ".join(one) for one in ([f"{n} :{n}" for n in sets], [f"{n} = :{n}" for n in marks]))
        try:
            with _asking():
                answer = self._client.update_item(
                    TableName=self._name,
                    Key=_key(key),
                    UpdateExpression=f"ADD {added} SET {assigned}",
                    ConditionExpression=f"attribute_not_exists({unless})",
                    ExpressionAttributeValues={**values, **_values(numbers)},
                    ReturnValues="ALL_NEW",
                )
        except Conflict:
            return None
        return {name: [bytes(one) for one in answer["Attributes"][name]["BS"]] for name in sets}

    def delete(self, keys: Iterable[Key]) -> None:
        """Delete these rows; a missing one is no error."""
        for some in _portions(list(dict.fromkeys(keys)), _MAX_DELETED):
            request: Mapping[str, Any] = {self._name: [{"DeleteRequest": {"Key": _key(key)}} for key in some]}
            for _ in self._answers(self._client.batch_write_item, request, "UnprocessedItems"):
                pass

    def find(
        self, index: str, condition: str, values: Mapping[str, Any], *, filtered: str = "", page: int = _PAGE
    ) -> Iterator[list[Item]]:
        """Yield pages of an index, in its order. An index lags: `read` the keys for the present rows."""
        query: dict[str, Any] = {
            "TableName": self._name,
            "IndexName": index,
            "KeyConditionExpression": condition,
            "ExpressionAttributeValues": _values(values),
            "Limit": page,
        }
        if filtered:
            query["FilterExpression"] = filtered
        while True:
            with _asking():
                answer = self._client.query(**query)
            if answer["Items"]:
                yield answer["Items"]
            if "LastEvaluatedKey" not in answer:
                return
            query["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _action(self, action: Row | Gone) -> Any:
        if not action.guarded:
            if isinstance(action, Gone):
                return {"Delete": {"TableName": self._name, "Key": _key(action.key)}}
            return {"Put": {"TableName": self._name, "Item": _item(action)}}
        condition: dict[str, Any] = {
            "TableName": self._name,
            "ConditionExpression": f"attribute_not_exists({PARTITION_KEY})",
        }
        if action.seen is not None:
            condition["ConditionExpression"] = f"{VERSION} = :seen"
            condition["ExpressionAttributeValues"] = {":seen": {"B": _version(action.seen)}}
        if isinstance(action, Gone):
            return {"Delete": {"Key": _key(action.key), **condition}}
        return {"Put": {"Item": _item(action), **condition}}

    def _answers(self, call: Callable[..., Any], request: Mapping[str, Any], left: str) -> Iterator[Any]:
        """Yield the answers of a batch call, and repeat it for unprocessed items, after longer and longer pauses.

        DynamoDB leaves items unprocessed beyond 16 MB or beyond its capacity: then an immediate retry makes it worse.
        """
        for attempt in range(1, _BATCH_ATTEMPTS + 1):
            with _asking():
                answer = call(RequestItems=request)
            yield answer
            request = answer.get(left, {})
            if not request:
                return
            self._sleep(_BATCH_BACKOFF.seconds(attempt))
        raise StoreError(f"DynamoDB left items unprocessed {_BATCH_ATTEMPTS} times")


def key_of(item: Item) -> Key:
    """Return the key of a row."""
    return item[PARTITION_KEY]["S"], item[SORT_KEY]["S"]


def number(item: Item, name: str) -> float:
    """Return a number of a row; 0 if it has none."""
    return float(item.get(name, {}).get("N", 0.0))


def body_of(item: Item | None) -> bytes | None:
    """Return the body of a row as it was read; None if there is no row, or if Vaultwatch did not write it."""
    body = (item or {}).get("body", {}).get("B")
    if item is None or body is None or item.get(VERSION) != {"B": _version(body)}:
        return None
    return bytes(body)


def replace_row(item: Item | None, key: Key, body: bytes, marks: Mapping[str, str | float | int]) -> Row:
    """Return a row to write instead of the one that was read.

    A row that Vaultwatch did not write is replaced whatever it is by then: its version says nothing.
    """
    seen = body_of(item)
    return Row(key, body, seen, marks, guarded=item is None or seen is not None)


@contextmanager
def _asking() -> Iterator[None]:
    """Raise botocore's errors as our own, whose text quotes nothing of the request."""
    failure: Exception
    try:
        yield
        return
    except ClientError as error:
        failure = _failure(error.response)
    except (BotoCoreError, OSError) as error:
        failure = StoreError(f"DynamoDB could not be reached: {type(error).__name__}")
    raise failure


def _failure(response: Any) -> Exception:
    code = str(response.get("Error", {}).get("Code", ""))
    reasons = [str(reason.get("Code", "")) for reason in response.get("CancellationReasons", [])]
    if code in ("ConditionalCheckFailedException", "TransactionInProgressException"):
        return Conflict(code)
    if code == "TransactionCanceledException" and reasons and _PASSING.issuperset(reasons):
        return Conflict(code)
    named = ", ".join(sorted(set(reasons) - {"None"}))
    kind = StoreRefused if code == "ValidationException" or "ValidationError" in reasons else StoreError
    return kind(f"DynamoDB answered {code}" + (f" ({named})" if named else ""))


def _key(key: Key) -> Item:
    return {PARTITION_KEY: {"S": key[0]}, SORT_KEY: {"S": key[1]}}


def _item(row: Row) -> Item:
    return {**_key(row.key), "body": {"B": row.body}, VERSION: {"B": _version(row.body)}, **_values(row.marks)}


def _version(body: bytes) -> bytes:
    """Return what a condition compares instead of the body, which would count in the size of the transaction."""
    return hashlib.sha256(body).digest()[:16]


def _values(values: Mapping[str, Any]) -> Item:
    return {name: {"S": value} if isinstance(value, str) else {"N": repr(value)} for name, value in values.items()}


def _portions(keys: Sequence[Key], size: int) -> Iterator[Sequence[Key]]:
    return (keys[at : at + size] for at in range(0, len(keys), size))
