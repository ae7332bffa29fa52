"""One DynamoDB table through botocore: rows by key, conditional transactions, and ranges of sort keys.

Every row has the keys `pk` and `sk`, its content as JSON in `body`, and a seal (`vaultwatch.seals`). Of a row without a
valid seal, only the key is read: it is there to be replaced. A change names the seal of the row that it replaces: if it
has another one by then, nothing of its transaction is written. None is deleted: what is settled stays until it expires.

A `Key` is clear, here and wherever it is passed. This module alone knows by which key a row is stored: its `pk` is the
name of the clear one (`Seal.name`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from vaultwatch.backoff import Backoff
from vaultwatch.seals import Seal, foreign_rows
from vaultwatch.store import StoreError, StoreRefused
from vaultwatch.store.dynamodb.schema import DUE_AT, EXPIRES_AT, PARTITION_KEY, SEAL, SEALED_MARKS, SORT_KEY, Key

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_T = TypeVar("_T")
Item = dict[str, Any]
Place = tuple[str, str]
"""The key by which a row is stored."""

SETTLED = b"settled"
"""The content of a row of which nothing remains to be done. It reads as a missing one."""
SETTLED_SECONDS = 3600.0
"""When such a row expires."""
MAX_ACTIONS = 100
MAX_TRANSACTION_BYTES = 3_500_000  # of 4 MiB, which count names and conditions too
_MAX_READ = 100
_MAX_READ_TOGETHER = 25  # of rows that are small, or few
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


class Wait(NamedTuple):
    """What a row waits for: a moment in a calendar, in seconds since the epoch."""

    calendar: str
    until: float


class Row(msgspec.Struct, frozen=True):
    """A row to write. If `guarded`, the present row must have the seal `seen` (None: there must be no row).

    `marks` are the numbers beside its content, `waits` is what it waits for, and `waited_until` is until when the row
    waits that it replaces.
    """

    key: Key
    body: bytes
    seen: bytes | None
    marks: Mapping[str, float] = {}
    guarded: bool = True
    waits: Wait | None = None
    waited_until: float | None = None


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

    def read_settled(self, keys: Iterable[Key]) -> dict[Key, Item]:
        """Return what `read` does, of rows of which no transaction is under way; raises `Conflict` if one is.

        Beside a transaction, a query and a batch may see some of its rows and not the others (DynamoDB developer guide,
        "Isolation levels for DynamoDB transactions").
        """
        found: dict[Key, Item] = {}
        for some in _portions(list(keys), _MAX_READ_TOGETHER):
            gets: Any = [{"Get": {"TableName": self._name, "Key": self._key(key)}} for key in some]
            with _asking():
                answers = self._client.transact_get_items(TransactItems=gets)["Responses"]
            found |= {key: self._own(answer["Item"]) for key, answer in zip(some, answers) if "Item" in answer}
        return found

    def write(self, rows: Sequence[Row]) -> None:
        """Write everything or nothing; raises `Conflict` if a row differs from what was read."""
        if not rows:
            return
        with _asking():
            self._client.transact_write_items(TransactItems=[self._action(row) for row in rows])

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
        return attribute_of(self._seal, self._place(key), name)

    def find(self, partition: str, first: str, last: str) -> Iterator[list[tuple[Key, Item]]]:
        """Yield pages of the rows of a partition with sort keys from `first` to `last`, in their order, as `read` does.

        Those that are settled stay at DynamoDB: after a flood they are many.

        Args:
            partition: The clear partition key.
            first: The lowest sort key.
            last: The highest sort key.
        """
        query: dict[str, Any] = {
            "TableName": self._name,
            "KeyConditionExpression": f"{PARTITION_KEY} = :pk AND {SORT_KEY} BETWEEN :first AND :last",
            "FilterExpression": "attribute_not_exists(#body) OR #body <> :settled",
            "ExpressionAttributeNames": {"#body": "body"},
            "ExpressionAttributeValues": _values(
                {":pk": self._seal.name(partition), ":first": first, ":last": last, ":settled": SETTLED}
            ),
            "ConsistentRead": True,
        }
        while True:
            with _asking():
                answer = self._client.query(**query)
            if found := answer["Items"]:
                yield [((partition, place_of(item)[1]), self._own(item)) for item in found]
            if "LastEvaluatedKey" not in answer:
                return
            query["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _action(self, row: Row) -> Any:
        put: dict[str, Any] = {"TableName": self._name, "Item": self._item(row)}
        if row.guarded and row.seen is None:
            put["ConditionExpression"] = f"attribute_not_exists({PARTITION_KEY})"
        elif row.guarded:
            put["ConditionExpression"] = f"{SEAL} = :seen"
            put["ExpressionAttributeValues"] = {":seen": {"B": row.seen}}
        return {"Put": put}

    def _item(self, row: Row) -> Item:
        place = self._place(row.key)
        seal = self._seal.of(place, row.body, row.marks)
        return {**_keys(place), "body": {"B": row.body}, SEAL: {"B": seal}, **_values(row.marks)}

    def _own(self, item: Item) -> Item:
        """Return a row as it is if its seal is valid, else without anything that somebody else wrote."""
        if is_sealed(self._seal, item):
            return item
        foreign_rows.add(place_of(item))
        return _keys(place_of(item))

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


def is_sealed(seal: Seal, item: Item) -> bool:
    """Return whether a row has the seal that belongs to it."""
    body, own = body_of(item), seal_of(item)
    marks = {name: number(item, name) for name in SEALED_MARKS if name in item}
    return body is not None and own is not None and seal.holds(own, place_of(item), body, marks)


def attribute_of(seal: Seal, place: Place, name: str) -> bytes:
    """Return the value of an attribute of a row that nobody else can write."""
    return seal.of(place, name.encode(), {})


def place_of(item: Item) -> Place:
    """Return the key by which a row is stored."""
    return item[PARTITION_KEY]["S"], item[SORT_KEY]["S"]


def number(item: Item, name: str) -> float:
    """Return a number of a row; 0 if it has none."""
    return float(item.get(name, {}).get("N", 0.0))


def body_of(item: Item | None) -> bytes | None:
    """Return the body of a row that was read; None if there is no row, or a foreign one."""
    return _bytes(item, "body")


def seal_of(item: Item | None) -> bytes | None:
    """Return the seal of a row that was read; None if there is no row, or a foreign one."""
    return _bytes(item, SEAL)


def replace_row(item: Item | None, key: Key, body: bytes, marks: Mapping[str, float], waits: Wait | None = None) -> Row:
    """Return a row to write instead of the one that was read; a foreign one is replaced whatever it is by then.

    Args:
        item: The row that was read; None if there was none.
        key: Its key.
        body: Its content.
        marks: Its numbers, without what `waits` says.
        waits: What it waits for; None for nothing.
    """
    seen = seal_of(item)
    if waits is not None:
        marks = {**marks, DUE_AT: waits.until}
    waited_until = number(item, DUE_AT) if item is not None and DUE_AT in item else None
    return Row(key, body, seen, marks, item is None or seen is not None, waits, waited_until)


def settled_row(key: Key, item: Item) -> Row:
    """Return the row to write instead of one of which nothing remains to be done, if it is still as it was read."""
    return Row(key, SETTLED, seal_of(item), {EXPIRES_AT: int(time.time() + SETTLED_SECONDS)})


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


def _portions(keys: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    return (keys[at : at + size] for at in range(0, len(keys), size))
