"""One DynamoDB table through botocore: rows by key, conditional transactions, and queries of an index.

Every row has the keys `pk` and `sk`, its content as JSON in `body`, and a seal (`vaultwatch.seals`). Of a row without a
valid seal, only the key is read: it is there to be replaced. A change names the seal of the row that it replaces: if it
has another one by then, nothing of its transaction is written.

A `Key` is clear, here and wherever it is passed. This module alone knows by which key a row is stored: its `pk` is the
name of the clear one (`Seal.name`). So what an index finds has no clear key but what its content says.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from vaultwatch.backoff import Backoff
from vaultwatch.seals import Seal, foreign_rows
from vaultwatch.store import StoreError, StoreRefused
from vaultwatch.store.dynamodb.schema import PARTITION_KEY, SEAL, SEALED_MARKS, SORT_KEY, Key

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

Item = dict[str, Any]
Place = tuple[str, str]
"""The key by which a row is stored."""

MAX_ACTIONS = 100
MAX_TRANSACTION_BYTES = 3_500_000  # of 4 MiB, which count names and conditions too
_MAX_READ = 100
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
    """A row to write. If `guarded`, the present row must have the seal `seen` (None: there must be no row).

    `marks` are the numbers and texts of indexes and expiry.
    """

    key: Key
    body: bytes
    seen: bytes | None
    marks: Mapping[str, str | float | int] = {}
    guarded: bool = True


class Gone(msgspec.Struct, frozen=True):
    """A row to delete if it still has the seal that was read."""

    key: Key
    seen: bytes | None


class Table:
    """The table `name`, accessed with `client`. If DynamoDB fails, every method raises `StoreError`.

    Args:
        client: botocore's client for DynamoDB.
        name: The table's name.
        seal: Names and seals the rows.
        sleep: Waits for a number of seconds.
    """

    def __init__(
        self, client: DynamoDBClient, name: str, seal: Seal, sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self._client = client
        self._name = name
        self._seal = seal
        self._sleep = sleep

    def read(self, keys: Iterable[Key]) -> dict[Key, Item]:
        """Return the rows with these keys, with consistent reads; of a foreign one, its key only."""
        stored = {self._place(key): key for key in keys}
        return {stored[place]: item for place, item in self._read(stored).items()}

    def read_found(self, page: Iterable[Item]) -> list[Item]:
        """Return the rows that an index has found, as `read` does, in their order; those that are gone are left out."""
        places = list(map(place_of, page))
        found = self._read(places)
        return [found[place] for place in dict.fromkeys(places) if place in found]

    def write(self, actions: Sequence[Row | Gone]) -> None:
        """Write everything or nothing; raises `Conflict` if a row differs from what was read."""
        if not actions:
            return
        with _asking():
            self._client.transact_write_items(TransactItems=[self._action(action) for action in actions])

    def put(self, row: Row) -> None:
        """Write one row, whatever it replaces."""
        with _asking():
            self._client.put_item(TableName=self._name, Item=self._item(row))

    def change(self, key: Key, expression: str, values: Mapping[str, float | bytes]) -> None:
        """Change parts of a row that are not sealed, if it exists."""
        try:
            with _asking():
                self._client.update_item(
                    TableName=self._name,
                    Key=self._key(key),
                    UpdateExpression=expression,
                    ConditionExpression=f"attribute_exists({PARTITION_KEY})",
                    ExpressionAttributeValues=_values(values),
                )
        except Conflict:
            return

    def unite(
        self, key: Key, sets: Mapping[str, Sequence[bytes]], marks: Mapping[str, float], *, unless: str
    ) -> dict[str, list[bytes]] | None:
        """Add elements to sets of a row, which is made if there is none. The sets have no seal.

        Args:
            key: The row.
            sets: The elements to add, by the names of the sets; none may be empty.
            marks: Numbers to set.
            unless: If the row has the `attribute` of this name, it is not changed.

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
                    Key=self._key(key),
                    UpdateExpression=f"ADD {added} SET {assigned}",
                    ConditionExpression=f"attribute_not_exists({unless}) OR {unless} <> :done",
                    ExpressionAttributeValues={**values, **_values({**numbers, ":done": self.attribute(key, unless)})},
                    ReturnValues="ALL_NEW",
                )
        except Conflict:
            return None
        if unless in answer["Attributes"]:
            foreign_rows.add(self._place(key))
        return {name: [bytes(one) for one in answer["Attributes"][name]["BS"]] for name in sets}

    def attribute(self, key: Key, name: str) -> bytes:
        """Return the value of an attribute of a row that nobody else can write."""
        return self._seal.of(self._place(key), name.encode(), {})

    def remove_foreign(self, rows: Iterable[Item]) -> None:
        """Delete the foreign ones among rows that an index has found, which would be found again and again."""
        self.remove([item for item in rows if seal_of(item) is None])

    def remove(self, rows: Sequence[Item]) -> None:
        """Delete rows that an index has found and nobody can read, whatever they are by now.

        Those that somebody writes at this moment stay, and are found again: they must hold nothing back.
        """
        for some in _portions(list(map(place_of, rows)), MAX_ACTIONS):
            actions: Any = [{"Delete": {"TableName": self._name, "Key": _keys(place)}} for place in some]
            with suppress(Conflict), _asking():
                self._client.transact_write_items(TransactItems=actions)

    def find(
        self, index: str, condition: str, values: Mapping[str, Any], *, filtered: str = "", page: int = _PAGE
    ) -> Iterator[list[Item]]:
        """Yield pages of an index, in its order. It lags, and seals are not checked: see `read_found`."""
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
        if isinstance(action, Row) and not action.guarded:
            return {"Put": {"TableName": self._name, "Item": self._item(action)}}
        condition: dict[str, Any] = {
            "TableName": self._name,
            "ConditionExpression": f"attribute_not_exists({PARTITION_KEY})",
        }
        if action.seen is not None:
            condition["ConditionExpression"] = f"{SEAL} = :seen"
            condition["ExpressionAttributeValues"] = {":seen": {"B": action.seen}}
        if isinstance(action, Gone):
            return {"Delete": {"Key": self._key(action.key), **condition}}
        return {"Put": {"Item": self._item(action), **condition}}

    def _item(self, row: Row) -> Item:
        marks = {name: row.marks[name] for name in SEALED_MARKS if name in row.marks}
        place = self._place(row.key)
        seal = self._seal.of(place, row.body, marks)
        return {**_keys(place), "body": {"B": row.body}, SEAL: {"B": seal}, **_values(row.marks)}

    def _own(self, item: Item) -> Item:
        """Return a row as it is if its seal is valid, else without anything that somebody else wrote."""
        place, body, seal = place_of(item), body_of(item), seal_of(item)
        marks = {name: _mark(item[name]) for name in SEALED_MARKS if name in item}
        if body is not None and seal is not None and self._seal.holds(seal, place, body, marks):
            return item
        foreign_rows.add(place)
        return _keys(place)

    def _read(self, places: Iterable[Place]) -> dict[Place, Item]:
        found: dict[Place, Item] = {}
        for some in _portions(list(dict.fromkeys(places)), _MAX_READ):
            request: Mapping[str, Any] = {self._name: {"Keys": list(map(_keys, some)), "ConsistentRead": True}}
            for answer in self._answers(request):
                for item in answer["Responses"].get(self._name, []):
                    found[place_of(item)] = self._own(item)
        return found

    def _place(self, key: Key) -> Place:
        return self._seal.name(key[0]), key[1]

    def _key(self, key: Key) -> Item:
        return _keys(self._place(key))

    def _answers(self, request: Mapping[str, Any]) -> Iterator[Any]:
        """Yield the answers to a read, and repeat it for unprocessed items, after longer and longer pauses.

        DynamoDB leaves items unprocessed beyond 16 MB or beyond its capacity: then an immediate retry makes it worse.
        """
        for attempt in range(1, _BATCH_ATTEMPTS + 1):
            with _asking():
                answer = self._client.batch_get_item(RequestItems=request)
            yield answer
            request = answer.get("UnprocessedKeys", {})
            if not request:
                return
            self._sleep(_BATCH_BACKOFF.seconds(attempt))
        raise StoreError(f"DynamoDB left items unprocessed {_BATCH_ATTEMPTS} times")


def place_of(item: Item) -> Place:
    """Return the key by which a row is stored."""
    return item[PARTITION_KEY]["S"], item[SORT_KEY]["S"]


def number(item: Item, name: str) -> float:
    """Return a number of a row; 0 if it has none."""
    return float(item.get(name, {}).get("N", 0.0))


def text_of(item: Item, name: str) -> str:
    """Return a text of a row; an empty one if it has none."""
    return str(item.get(name, {}).get("S", ""))


def body_of(item: Item | None) -> bytes | None:
    """Return the body of a row that was read; None if there is no row, or a foreign one."""
    return _bytes(item, "body")


def seal_of(item: Item | None) -> bytes | None:
    """Return the seal of a row that was read; None if there is no row, or a foreign one."""
    return _bytes(item, SEAL)


def replace_row(item: Item | None, key: Key, body: bytes, marks: Mapping[str, str | float | int]) -> Row:
    """Return a row to write instead of the one that was read; a foreign one is replaced whatever it is by then."""
    seen = seal_of(item)
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


def _keys(place: Place) -> Item:
    return {PARTITION_KEY: {"S": place[0]}, SORT_KEY: {"S": place[1]}}


def _bytes(item: Item | None, name: str) -> bytes | None:
    found: bytes | None = (item or {}).get(name, {}).get("B")
    return found


def _values(values: Mapping[str, Any]) -> Item:
    return {name: _value(value) for name, value in values.items()}


def _value(value: str | float | bytes) -> dict[str, Any]:
    match value:
        case str():
            return {"S": value}
        case bytes():
            return {"B": value}
        case _:
            return {"N": repr(value)}


def _mark(value: Mapping[str, Any]) -> str | float:
    """Return a number or text of a row as it was written; Vaultwatch writes no other values here."""
    return float(value["N"]) if "N" in value else str(value.get("S", value))


def _portions(keys: Sequence[Key], size: int) -> Iterator[Sequence[Key]]:
    return (keys[at : at + size] for at in range(0, len(keys), size))
