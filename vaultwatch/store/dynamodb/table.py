"""One DynamoDB table through botocore: rows by key, conditional transactions, and queries of an index.

Every row has the keys `pk` and `sk`, its content as JSON in `body`, and a seal (`vaultwatch.seals`). Of a row without a
valid seal, only the key is read: it is there to be replaced. A change names the seal of the row that it replaces: if it
has another one by then, nothing of its transaction is written. Each row says when it was written, always later than the
one that it replaces, and none is deleted: what is settled stays without the marks of indexes until it expires. So
whoever sees each change of the table knows which ones Vaultwatch has not made (`changes`).

A `Key` is clear, here and wherever it is passed. This module alone knows by which key a row is stored: its `pk` is the
name of the clear one (`Seal.name`). So what an index finds has no clear key but what its content says.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec
from botocore.exceptions import BotoCoreError, ClientError

from vaultwatch.backoff import Backoff
from vaultwatch.seals import Seal, foreign_rows
from vaultwatch.store import StoreError, StoreRefused
from vaultwatch.store.dynamodb.schema import (
    EXPIRES_AT,
    FORMER_MARKS,
    PARTITION_KEY,
    REPLACES,
    SEAL,
    SEALED_MARKS,
    SORT_KEY,
    WRITTEN,
    Key,
)

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

_T = TypeVar("_T")
Item = dict[str, Any]
Place = tuple[str, str]
"""The key by which a row is stored."""

SETTLED = b"settled"
"""The content of a row of which nothing remains to be done. It reads as a missing one, as `REMOVED` does."""
REMOVED = b"removed"
"""The content of such a row instead of one that somebody else wrote; so it is not what settled a row of ours."""
EMPTY = (SETTLED, REMOVED)
SETTLED_SECONDS = 3600.0
"""When such a row expires: later than what was there before could be put back without being noticed (`changes`)."""
MAX_ACTIONS = 100
MAX_TRANSACTION_BYTES = 3_500_000  # of 4 MiB, which count names and conditions too
_MAX_READ = 100
_MAX_AHEAD_MS = 3_600_000
_PAGE = 90
_BINARY: Item = {":binary": {"S": "B"}}
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
    """A concurrent writer was faster, or DynamoDB throttled the call; nothing was changed.

    Args:
        code: DynamoDB's code.
        present: The row that is there, if the call asked for it.
    """

    def __init__(self, code: str, present: Item | None = None) -> None:
        super().__init__(code)
        self.present = present


class Row(msgspec.Struct, frozen=True):
    """A row to write. If `guarded`, the present row must have the seal `seen` (None: there must be no row).

    `marks` are the numbers and texts of indexes and expiry. `after` is when the present row was written, in ms.
    """

    key: Key
    body: bytes
    seen: bytes | None
    marks: Mapping[str, str | float | int] = {}
    guarded: bool = True
    after: float = 0.0


class Settled(msgspec.Struct, frozen=True):
    """A row that an index has found, of which nothing remains to be done; written if it still has the seal it had."""

    item: Item


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
        self._last_written = 0

    def read(self, keys: Iterable[Key]) -> dict[Key, Item]:
        """Return the rows with these keys, with consistent reads; of a foreign one, its key only."""
        stored = {self._place(key): key for key in keys}
        return {stored[place]: item for place, item in self._read(stored).items()}

    def read_found(self, page: Iterable[Item]) -> list[Item]:
        """Return the rows that an index has found, as `read` does, in their order; those that are gone are left out."""
        places = list(map(place_of, page))
        found = self._read(places)
        return [found[place] for place in dict.fromkeys(places) if place in found]

    def write(self, actions: Sequence[Row | Settled]) -> None:
        """Write everything or nothing; raises `Conflict` if a row differs from what was read."""
        if not actions:
            return
        written = self._written()
        with _asking():
            self._client.transact_write_items(TransactItems=[self._action(action, written) for action in actions])

    def put(self, row: Row) -> None:
        """Write one row, whatever it replaces."""
        with _asking():
            self._client.put_item(TableName=self._name, Item=self._item(row, self._written()))

    def put_instead(self, old: Item, present: Item | None) -> None:
        """Write what a row was once more, later than what is there now, if that is still there.

        Args:
            old: The row as it was, with its seal.
            present: The row that is there now; None if there is none.

        Raises:
            Conflict: Another row is there, or none; the error has it.
        """
        marks = {name: mark_of(old, name) for name in SEALED_MARKS if name in old and name not in (WRITTEN, REPLACES)}
        newest = max(number(one, WRITTEN) for one in (old, present) if one and is_sealed(self._seal, one))
        item = self._sealed(place_of(old), body_of(old) or b"", marks, _later(self._written(), newest))
        condition, values = f"attribute_not_exists({PARTITION_KEY})", Item()
        if present is not None and (seen := seal_of(present)) is not None:
            condition, values = f"{SEAL} = :seen", {":seen": {"B": seen}}
        elif present is not None:  # its seal is missing, or none
            condition, values = f"attribute_exists({PARTITION_KEY}) AND NOT attribute_type({SEAL}, :binary)", _BINARY
        given: Any = {"ExpressionAttributeValues": values} if values else {}
        with _asking():
            self._client.put_item(
                TableName=self._name,
                Item=item,
                ConditionExpression=condition,
                ReturnValuesOnConditionCheckFailure="ALL_OLD",
                **given,
            )

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

    def settle_foreign(self, rows: Iterable[Item]) -> None:
        """Settle the foreign ones among rows that an index has found, which would be found again and again."""
        self.settle([item for item in rows if seal_of(item) is None])

    def settle(self, rows: Sequence[Item]) -> None:
        """Settle rows that an index has found and nobody can read, whatever they are by now.

        Those that somebody writes at this moment stay, and are found again: they must hold nothing back.
        """
        for some in _portions(rows, MAX_ACTIONS):
            with suppress(Conflict):
                self.write([Settled(item) for item in some])

    def find(
        self, index: str, rows: str, condition: str, values: Mapping[str, Any], *, filtered: str = "", page: int = _PAGE
    ) -> Iterator[list[Item]]:
        """Yield pages of an index, in its order. It lags, and seals are not checked: see `read_found`.

        Args:
            index: The name of the index.
            rows: How the partition keys of its rows begin. Others are left out: somebody else has put them there, and
                whoever searches the index may not read them.
            condition: On the keys of the index.
            values: The values in `condition` and `filtered`.
            filtered: A condition on other attributes; "" for none.
            page: How many rows a page has at most.
        """
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
            if found := [item for item in answer["Items"] if place_of(item)[0].startswith(rows)]:
                yield found
            if "LastEvaluatedKey" not in answer:
                return
            query["ExclusiveStartKey"] = answer["LastEvaluatedKey"]

    def _action(self, action: Row | Settled, written: int) -> Any:
        if isinstance(action, Settled):
            item, seen = self._settled(action.item, written), seal_of(action.item)
            guarded = seen is not None
        else:
            item, seen, guarded = self._item(action, written), action.seen, action.guarded
        put: dict[str, Any] = {"TableName": self._name, "Item": item}
        if guarded and seen is None:
            put["ConditionExpression"] = f"attribute_not_exists({PARTITION_KEY})"
        elif guarded:
            put["ConditionExpression"] = f"{SEAL} = :seen"
            put["ExpressionAttributeValues"] = {":seen": {"B": seen}}
        return {"Put": put}

    def _item(self, row: Row, written: int) -> Item:
        return self._sealed(self._place(row.key), row.body, row.marks, _later(written, row.after))

    def _settled(self, item: Item, written: int) -> Item:
        marks, body = {EXPIRES_AT: int(time.time() + SETTLED_SECONDS)}, SETTLED if seal_of(item) else REMOVED
        return self._sealed(place_of(item), body, marks, _later(written, number(item, WRITTEN)))

    def _sealed(self, place: Place, body: bytes, marks: Mapping[str, str | float | int], written: int) -> Item:
        marks = {**marks, WRITTEN: written}
        return {**_keys(place), "body": {"B": body}, SEAL: {"B": self._seal.of(place, body, marks)}, **_values(marks)}

    def _written(self) -> int:
        """Return the present time in ms, later than what this table has returned before."""
        self._last_written = max(int(time.time() * 1000), self._last_written + 1)
        return self._last_written

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
    names = SEALED_MARKS if WRITTEN in item else FORMER_MARKS
    marks = {name: mark_of(item, name) for name in names if name in item}
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
    seen, after = seal_of(item), number(item or {}, WRITTEN)
    if item is not None and seen is None:
        return Row(key, body, None, {**marks, REPLACES: "foreign"}, guarded=False)
    return Row(key, body, seen, marks, after=after)


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
        return Conflict(code, response.get("Item") or None)
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


def mark_of(item: Item, name: str) -> str | float:
    """Return a number or text of a row as it was written; Vaultwatch writes no other values here."""
    value = item[name]
    return float(value["N"]) if "N" in value else str(value.get("S", value))


def _later(written: int, after: float) -> int:
    """Return when a row is written: now, or later than the row that it replaces, whose time may be nonsense."""
    return max(written, int(min(after, written + _MAX_AHEAD_MS)) + 1)


def _portions(keys: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    return (keys[at : at + size] for at in range(0, len(keys), size))
